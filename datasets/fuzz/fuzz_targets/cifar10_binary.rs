#![no_main]

atypical_data_fuzz::target!("test_batch.bin");
