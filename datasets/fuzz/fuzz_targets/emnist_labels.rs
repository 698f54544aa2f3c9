#![no_main]

atypical_data_fuzz::target!("emnist-letters-test-labels-idx1-ubyte");
