#![no_main]

atypical_data_fuzz::target!("_32x32.mat");
