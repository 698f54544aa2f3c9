#![no_main]

atypical_data_fuzz::target!("cifar-100-binary.tar.gz");
