//! The rungs of asynchronous successive halving (Li et al. 2020, arXiv 1810.05934); which trials go on from one to the next is the queue's to say.

/// Budgets of the rungs: `min`, `min * factor`, … below `max`, and `max` itself, whether or not it is such a multiple.
pub fn rungs(min: u64, max: u64, factor: u64) -> Vec<u64> {
    let next = |budget: &u64| budget.checked_mul(factor).filter(|next| next > budget);
    let mut rungs: Vec<u64> =
        std::iter::successors(Some(min), next).take_while(|budget| *budget < max).collect();
    rungs.push(max);
    rungs
}
