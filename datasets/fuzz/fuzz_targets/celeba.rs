#![no_main]

atypical_data_fuzz::target!("img_align_celeba.zip");
