#![no_main]

atypical_data_fuzz::target!("emnist-letters-test-images-idx3-ubyte");
