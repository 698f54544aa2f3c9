//! The exact dual-threshold ROC at 10,000 + 10,000 samples, all values distinct: the worst case. `cargo bench --bench dual_roc`.

use atypical::eval::dual::{Pairs, cross_fitted, oracle};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn benches(c: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut draw =
        |shift: f64| -> Vec<f64> { (0..10_000).map(|_| rng.random::<f64>() + shift).collect() };
    let (a, b, x, y) = (draw(0.0), draw(0.3), draw(0.2), draw(0.0));
    let inside = Pairs { likelihood: &a, lid: &b };
    let outside = Pairs { likelihood: &x, lid: &y };
    let mut group = c.benchmark_group("dual_roc");
    group.sample_size(10);
    group.bench_function("oracle/10000", |bench| bench.iter(|| oracle(inside, outside)));
    group.bench_function("cross_fitted/10000", |bench| {
        bench.iter(|| cross_fitted(inside, outside, 0))
    });
}

criterion_group!(dual, benches);
criterion_main!(dual);
