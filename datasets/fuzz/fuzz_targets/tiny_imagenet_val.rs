#![no_main]

atypical_data_fuzz::target!("tiny-imagenet-200-val.zip");
