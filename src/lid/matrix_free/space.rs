//! A block Krylov space.

use faer::{Mat, Side};

/// An orthonormal basis Q of the span of `s, A s, A² s, …` for a block of start vectors, with the projection `T = Qᵀ A Q`.
///
/// Built from products that the caller makes: [`block`](Self::block) says of which vectors, [`extend`](Self::extend) takes
/// them. Every new vector is orthogonalised against all earlier ones, twice, in f64.
#[derive(Clone, Debug)]
pub struct Space {
    basis: Vec<Vec<f64>>,
    /// `t[j][i] = q_iᵀ A q_j` for every j whose product is known and every i that was in the basis then.
    t: Vec<Vec<f64>>,
    /// The starts in the basis: `start = Σ starts[s][i] q_i`.
    starts: Vec<Vec<f64>>,
    /// The next block's components of what the last products have outside the space: one row a vector of the next block, one column a
    /// vector of the last.
    coupling: Vec<Vec<f64>>,
}

/// Directions whose length is below this share of what they came from are rounding (products are f32).
const ROUNDING: f64 = 1e-6;

/// A quadrature rule: nodes, and for each start the weights, whose sum is its squared norm.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Nodes, eigenvalues of A approximately.
    pub nodes: Vec<f64>,
    /// For each start, the components in the eigenvectors of the projection; their squares are the weights.
    pub components: Vec<Vec<f64>>,
    /// Eigenvectors of the projection, column k of node k.
    vectors: Mat<f64>,
}

impl Rule {
    /// Components of `f(T) start` in the basis.
    fn apply(&self, start: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let scaled: Vec<f64> = self
            .nodes
            .iter()
            .zip(&self.components[start])
            .map(|(&l, c)| c * f(l.max(0.0)))
            .collect();
        let row = |i: usize| scaled.iter().enumerate().map(|(k, s)| s * self.vectors[(i, k)]).sum();
        (0..self.nodes.len()).map(row).collect()
    }

    /// `startᵀ f(A) start`; nodes below zero, which are rounding, count as zero.
    pub fn form(&self, start: usize, f: impl Fn(f64) -> f64) -> f64 {
        self.nodes.iter().zip(&self.components[start]).map(|(&l, c)| c * c * f(l.max(0.0))).sum()
    }
}

impl Space {
    /// The space of the starts alone.
    pub fn new(starts: &[Vec<f64>]) -> Self {
        let mut space =
            Self { basis: Vec::new(), t: Vec::new(), starts: Vec::new(), coupling: Vec::new() };
        for start in starts {
            let length = norm(start);
            let mut rest = start.clone();
            let mut inside = space.remove(&mut rest, 0);
            inside.extend(space.push(rest, length));
            space.starts.push(inside);
        }
        space
    }

    /// The vectors whose products come next; none when the space is closed under A.
    pub fn block(&self) -> &[Vec<f64>] {
        &self.basis[self.t.len()..]
    }

    /// Dimensions of the space that the projection knows.
    pub fn dimension(&self) -> usize {
        self.t.len()
    }

    /// Take the products of A with the vectors of [`block`](Self::block), in their order; the next block is what they have
    /// outside the space.
    pub fn extend(&mut self, products: Vec<Vec<f64>>) {
        let scale = products.iter().map(|p| norm(p)).fold(0.0, f64::max);
        let (known, columns) = (self.basis.len(), products.len());
        self.coupling.clear();
        let mut outside = products;
        for product in &mut outside {
            let inside = self.remove(product, 0);
            self.t.push(inside);
        }
        for (column, mut rest) in outside.into_iter().enumerate() {
            // What of it lies along the vectors that the columns before it gave.
            let along = self.remove(&mut rest, known);
            for (row, value) in along.into_iter().enumerate() {
                self.coupling[row][column] = value;
            }
            if let Some(length) = self.push(rest, scale) {
                let mut row = vec![0.0; columns];
                row[column] = length;
                self.coupling.push(row);
            }
        }
    }

    /// Take from `vector` what lies along basis vectors `from..`; returns how much of each.
    fn remove(&self, vector: &mut [f64], from: usize) -> Vec<f64> {
        let mut along = vec![0.0; self.basis.len() - from];
        for _ in 0..2 {
            for (along, q) in along.iter_mut().zip(&self.basis[from..]) {
                let part = dot(q, vector);
                *along += part;
                vector.iter_mut().zip(q).for_each(|(v, q)| *v -= part * q);
            }
        }
        along
    }

    /// Put a vector, orthogonal to all others, into the basis, unless it is rounding beside `scale`; returns its length.
    fn push(&mut self, mut vector: Vec<f64>, scale: f64) -> Option<f64> {
        let length = norm(&vector);
        if length <= ROUNDING * scale {
            return None;
        }
        vector.iter_mut().for_each(|v| *v /= length);
        self.remove(&mut vector, 0);
        let rest = norm(&vector);
        vector.iter_mut().for_each(|v| *v /= rest);
        self.basis.push(vector);
        Some(length)
    }

    /// Gauss quadrature: T itself. None where its eigenvalues do not converge.
    pub fn gauss(&self) -> Option<Rule> {
        self.rule(&self.projection(0))
    }

    /// Gauss-Radau quadrature with as many nodes at zero as the last block has vectors: T and one block more, whose Schur
    /// complement is zero. Where the space is closed under A, the same as Gauss's.
    pub fn radau(&self, gauss: &Rule) -> Option<Rule> {
        let (n, extra) = (self.dimension(), self.coupling.len());
        if extra == 0 {
            return Some(gauss.clone());
        }
        let mut t = self.projection(extra);
        let last = n - self.coupling[0].len();
        // B T⁻¹ Bᵀ for the coupling B of the next block with the last.
        let top = gauss.nodes.iter().fold(0.0, |a: f64, b| a.max(*b));
        for (i, a) in self.coupling.iter().enumerate() {
            for (column, value) in a.iter().enumerate() {
                t[(n + i, last + column)] = *value;
                t[(last + column, n + i)] = *value;
            }
            for (j, b) in self.coupling.iter().enumerate() {
                let along = |row: &[f64], k: usize| -> f64 {
                    row.iter().enumerate().map(|(c, v)| v * gauss.vectors[(last + c, k)]).sum()
                };
                t[(n + i, n + j)] = (0..n)
                    .map(|k| along(a, k) * along(b, k) / gauss.nodes[k].max(f64::EPSILON * top))
                    .sum();
            }
        }
        self.rule(&t)
    }

    /// T, with `extra` empty rows and columns.
    fn projection(&self, extra: usize) -> Mat<f64> {
        let n = self.dimension();
        let mut t = Mat::zeros(n + extra, n + extra);
        for (j, column) in self.t.iter().enumerate() {
            for (i, value) in column.iter().take(j + 1).enumerate() {
                // Two products give the same entry where both vectors belong to one block: their mean.
                let value = self.t[i].get(j).map_or(*value, |other| (value + other) / 2.0);
                t[(i, j)] = value;
                t[(j, i)] = value;
            }
        }
        t
    }

    fn rule(&self, t: &Mat<f64>) -> Option<Rule> {
        let evd = t.self_adjoint_eigen(Side::Lower).ok()?;
        let (values, vectors) = (evd.S().column_vector(), evd.U());
        let nodes: Vec<f64> = (0..t.nrows()).map(|k| values[k]).collect();
        let component = |start: &Vec<f64>, k: usize| -> f64 {
            start.iter().enumerate().map(|(i, c)| c * vectors[(i, k)]).sum()
        };
        let components = self
            .starts
            .iter()
            .map(|start| (0..nodes.len()).map(|k| component(start, k)).collect())
            .collect();
        Some(Rule { nodes, components, vectors: vectors.to_owned() })
    }

    /// `f(A) start` out of Gauss quadrature's rule.
    pub fn apply(&self, gauss: &Rule, start: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut out = vec![0.0; self.basis.first().map_or(0, Vec::len)];
        for (c, q) in gauss.apply(start, f).iter().zip(&self.basis) {
            out.iter_mut().zip(q).for_each(|(o, q)| *o += c * q);
        }
        out
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `‖a‖₂`.
pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A diagonal A of dimension 40 with eigenvalues from 50 down by powers of 0.7.
    fn eigenvalues() -> Vec<f64> {
        (0..40).map(|i| 50.0 * 0.7f64.powi(i)).collect()
    }

    fn multiply(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let l = eigenvalues();
        vectors.iter().map(|v| v.iter().zip(&l).map(|(v, l)| v * l).collect()).collect()
    }

    fn starts(count: usize) -> Vec<Vec<f64>> {
        let at = |s: usize, i: usize| ((7 * s + 3) * (i + 1)) as f64;
        (0..count).map(|s| (0..40).map(|i| at(s, i).sin() + 0.1 * s as f64).collect()).collect()
    }

    fn space(count: usize, steps: usize) -> Space {
        let mut space = Space::new(&starts(count));
        for _ in 0..steps {
            let products = multiply(space.block());
            space.extend(products);
        }
        space
    }

    fn truth(start: usize, f: impl Fn(f64) -> f64) -> f64 {
        let s = &starts(start + 1)[start];
        s.iter().zip(eigenvalues()).map(|(s, l)| s * s * f(l)).sum()
    }

    #[test]
    fn gauss_and_radau_bracket_the_form_and_meet() {
        // λ/(λ+v) grows with falling slope: Gauss reads too much, Radau too little.
        let f = |l: f64| l / (l + 0.01);
        for start in 0..3 {
            let mut width = f64::INFINITY;
            for steps in 2..11 {
                let space = space(3, steps);
                let high = space.gauss().unwrap().form(start, f);
                let low = space.radau(&space.gauss().unwrap()).unwrap().form(start, f);
                let exact = truth(start, f);
                assert!(low <= exact + 1e-9 && exact <= high + 1e-9, "{low} {exact} {high}");
                assert!(high - low < width, "a step narrows the bracket");
                width = high - low;
            }
            assert!(width < 0.02 * truth(start, f), "{width}");
        }
    }

    #[test]
    fn polynomials_are_exact() {
        let space = space(2, 3);
        for f in [|_: f64| 1.0, |l: f64| l, |l: f64| l.powi(5)] {
            for start in 0..2 {
                let (got, exact) = (space.gauss().unwrap().form(start, f), truth(start, f));
                assert!((got - exact).abs() < 1e-10 * exact, "{got} and {exact}");
            }
        }
        let applied = space.apply(&space.gauss().unwrap(), 1, |l| l * l);
        for (got, (s, l)) in applied.iter().zip(starts(2)[1].iter().zip(eigenvalues())) {
            assert!((got - s * l * l).abs() < 1e-7, "{got} and {}", s * l * l);
        }
    }

    #[test]
    fn a_closed_space_is_exact_and_ends() {
        // Starts within three eigenvectors, one of them twice.
        let at = |weights: [f64; 3]| {
            let mut v = vec![0.0; 40];
            v[..3].copy_from_slice(&weights);
            v
        };
        let starts = [at([1.0, 2.0, 0.5]), at([-1.0, 0.3, 2.0]), at([2.0, 4.0, 1.0])];
        let mut space = Space::new(&starts);
        while !space.block().is_empty() {
            let products = multiply(space.block());
            space.extend(products);
        }
        assert_eq!(space.dimension(), 3);
        let l = eigenvalues();
        let exact: f64 = (0..3).map(|i| starts[2][i].powi(2) * l[i].sqrt()).sum();
        let gauss = space.gauss().unwrap();
        for rule in [space.radau(&gauss).unwrap(), gauss] {
            assert!((rule.form(2, f64::sqrt) - exact).abs() < 1e-9);
        }
    }
}
