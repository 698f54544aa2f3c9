#![no_main]

atypical_data_fuzz::target!("list_eval_partition.txt");
