#![no_main]

atypical_data_fuzz::target!("images_background.zip");
