#![no_main]

atypical_data_fuzz::target!("cifar-10-python.tar.gz");
