//! LID of every image of one set, by any estimators, resumable.

use super::{
    OodError, Scorer, choose_scale, expect_domain,
    scorer::{CHUNK, Chosen, Failure, Outcome, points},
};
use crate::{
    config::LidConfig,
    data::Images,
    lid::{Densities, Estimator, LidEstimator, Prepared, Route, Scale, StopAt},
    progress::{Progress, Verbosity},
    run::Journal,
};
use atypical_models::{Ability, FlowBackend};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Instant;

/// What is asked.
#[derive(Debug)]
pub struct Survey<'a> {
    /// The images.
    pub images: &'a Images,
    /// Training images, for the scales.
    pub calibration: Option<&'a Images>,
    /// How many of them.
    pub calibration_count: usize,
    /// By what.
    pub estimators: &'a [Estimator],
    /// How.
    pub lid: &'a LidConfig,
    /// Neighbours, for the estimators that read neighbours; what is usual for each where not given.
    pub k: Option<usize>,
    /// Seed of the draw of the calibration images.
    pub seed: u64,
    /// Progress.
    pub verbosity: Verbosity,
}

/// The LIDs of one estimator.
#[derive(Clone, Debug)]
pub struct Column {
    /// The estimator.
    pub estimator: Estimator,
    /// Its scale, where it has one.
    pub scale: Option<Chosen>,
    /// One value an image; NaN where the Jacobian is not finite.
    pub lid: Vec<f64>,
    /// LID over [`scale::shown`](crate::lid::scale::shown) of every image, NaN where it is not known; empty where there is no scale.
    pub curves: Vec<Vec<f64>>,
    /// Standard errors, brackets and products of a matrix-free estimate; none where the products are not finite.
    pub matrix_free: Option<Vec<Option<MatrixFreeColumns>>>,
    /// Seconds of computing for each image, of those that this call computed.
    pub seconds_per_image: Option<f64>,
}

/// What a matrix-free estimate says beside its LID.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MatrixFreeColumns {
    /// Standard error of the trace, in dimensions.
    pub standard_error: Option<f64>,
    /// The bracket of the quadrature.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// Error of the quadrature, in dimensions.
    pub quadrature_error: Option<f64>,
    /// Products with J Jᵀ.
    pub products: usize,
    /// Probes of the trace.
    pub probes: usize,
    /// Whether the tolerance was met.
    pub converged: bool,
}

/// What went wrong at an image, counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Trouble {
    /// NaN or infinite entries of the Jacobian or of a product with it, or log-densities of an ensemble.
    pub not_finite: usize,
    /// Whether an eigenvalue iteration failed.
    pub no_convergence: bool,
    /// Eigenvalues or nodes that are negative by rounding.
    pub negative: usize,
    /// Whether the scale lies below what the Jacobian resolves.
    pub unresolved: bool,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// One an estimator.
    pub columns: Vec<Column>,
    /// One an image, over all estimators.
    pub trouble: Vec<Trouble>,
}

/// One image by one route, as the journal keeps it. JSON has no NaN: it is null there.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Piece {
    lids: Vec<Option<f64>>,
    curves: Vec<Vec<Option<f64>>>,
    matrix_free: Option<MatrixFreeColumns>,
    trouble: Trouble,
}

/// A model of the ensemble of [`Lidl`](crate::lid::Lidl).
pub struct Member<B: FlowBackend> {
    /// Name of its run.
    pub name: String,
    /// Standard deviation of the noise that it was trained with.
    pub noise: f64,
    /// The model.
    pub scorer: Scorer<B>,
}

/// Refuse an ensemble that has no slope.
fn check_noise<B: FlowBackend>(ensemble: &[Member<B>]) -> Result<(), OodError> {
    if let Some(member) = ensemble.iter().find(|member| member.noise <= 0.0) {
        let problem = format!("`{}` was trained without noise", member.name);
        return Err(OodError::Ensemble(problem));
    }
    match ensemble {
        [] => Err(OodError::Ensemble("none is given".into())),
        [first, rest @ ..] if rest.iter().all(|member| member.noise == first.noise) => {
            Err(OodError::Ensemble(format!(
                "its runs have one level of noise, {}, and need at least two",
                first.noise
            )))
        }
        _ => Ok(()),
    }
}

/// Log-densities of all images by every model of the ensemble.
fn densities<B: FlowBackend>(
    images: &Images,
    ensemble: &[Member<B>],
    bar: &mut Progress,
) -> Result<Vec<Outcome>, OodError> {
    let deltas: Vec<f64> = ensemble.iter().map(|member| member.noise).collect();
    let columns: Vec<Vec<f64>> = ensemble
        .iter()
        .map(|member| member.scorer.log_likelihood(images))
        .collect::<Result<_, _>>()?;
    bar.advance(images.len(), "");
    let prepared = (0..images.len()).map(|i| {
        let row: Vec<f64> = columns.iter().map(|column| column[i]).collect();
        Ok(Prepared::Densities(Densities::new(images.dimension(), &deltas, &row)))
    });
    Ok(prepared.collect())
}

/// Compute, or take from the journal, the LID of every image.
///
/// # Errors
/// Images of another shape, an ensemble that cannot be one, scales that cannot be chosen, too little memory, too few points, a journal that cannot be written.
pub fn survey<B: FlowBackend>(
    survey: &Survey,
    scorer: Option<&Scorer<B>>,
    ensemble: &[Member<B>],
    journal: &mut Journal,
) -> Result<Surveyed, OodError> {
    let images = survey.images;
    if let Some(scorer) = scorer {
        for images in survey.calibration.into_iter().chain([images]) {
            expect_domain(scorer.model(), images)?;
        }
        // An ensemble has models of its own.
        for estimator in survey.estimators.iter().filter(|e| **e != Estimator::Lidl) {
            let lacking = estimator.needs().and_then(|ability| scorer.model().lacks(ability));
            if let Some(why) = lacking {
                let what = format!("the estimator {}", estimator.name());
                return Err(OodError::Undefined { what, why });
            }
        }
    }
    if survey.estimators.contains(&Estimator::Lidl) {
        check_noise(ensemble)?;
    }
    for member in ensemble {
        images.expect_shape(member.scorer.shape())?;
        if let Some(why) = member.scorer.model().lacks(Ability::Density) {
            let what = format!("the estimator lidl (run `{}`)", member.name);
            return Err(OodError::Undefined { what, why });
        }
    }
    let mut routes: Vec<Route> = survey.estimators.iter().map(|e| e.route()).collect();
    // What takes seconds first: what is wrong with it is then said before hours of Jacobians.
    routes.sort();
    routes.dedup();
    routes.reverse();
    let mut surveyed =
        Surveyed { columns: Vec::new(), trouble: vec![Trouble::default(); images.len()] };
    for route in routes {
        let estimators: Vec<Estimator> =
            survey.estimators.iter().copied().filter(|e| e.route() == route).collect();
        let scales = scales(survey, &estimators, scorer, journal)?;
        let (pieces, seconds) =
            pieces(survey, route, &estimators, &scales, (scorer, ensemble), journal)?;
        for (trouble, piece) in surveyed.trouble.iter_mut().zip(&pieces) {
            trouble.not_finite = trouble.not_finite.max(piece.trouble.not_finite);
            trouble.no_convergence |= piece.trouble.no_convergence;
            trouble.negative += piece.trouble.negative;
            trouble.unresolved |= piece.trouble.unresolved;
        }
        for (i, (&estimator, scale)) in estimators.iter().zip(scales).enumerate() {
            surveyed.columns.push(Column {
                estimator,
                scale,
                lid: pieces.iter().map(|p| p.lids[i].unwrap_or(f64::NAN)).collect(),
                curves: pieces.iter().filter_map(|p| p.curves.get(i)).map(|c| nan(c)).collect(),
                matrix_free: (route == Route::Krylov)
                    .then(|| pieces.iter().map(|p| p.matrix_free).collect()),
                seconds_per_image: seconds,
            });
        }
    }
    // In the order asked for.
    surveyed.columns.sort_by_key(|c| survey.estimators.iter().position(|e| *e == c.estimator));
    Ok(surveyed)
}

fn model<B: FlowBackend>(scorer: Option<&Scorer<B>>) -> &Scorer<B> {
    scorer.expect("the caller opens the model where an estimator reads it")
}

/// The scales of estimators that share a route.
fn scales<B: FlowBackend>(
    survey: &Survey,
    estimators: &[Estimator],
    scorer: Option<&Scorer<B>>,
    journal: &mut Journal,
) -> Result<Vec<Option<Chosen>>, OodError> {
    let mut scales = Vec::with_capacity(estimators.len());
    for &estimator in estimators {
        let scale = match (estimator.has_scale(), survey.calibration, &survey.lid.scale) {
            (false, ..) => None,
            (true, _, &Scale::Fixed { r }) => Some(Chosen { r, dimension: None }),
            (true, None, _) => return Err(OodError::NoCalibration),
            (true, Some(images), scale) => {
                let (count, seed) = (survey.calibration_count, survey.seed);
                let dimension = model(scorer).latent_dimension();
                let prepare = |images: &Images, stop| {
                    calibration(images, estimator.route(), stop, model(scorer), journal)
                };
                let chosen =
                    choose_scale(estimator, scale, images, dimension, count, seed, prepare)?;
                Some(chosen)
            }
        };
        scales.push(scale);
    }
    Ok(scales)
}

/// Prepare the calibration images, or take them from the journal.
fn calibration<B: FlowBackend>(
    images: &Images,
    route: Route,
    stop: StopAt,
    scorer: &Scorer<B>,
    journal: &mut Journal,
) -> Result<Vec<Prepared>, OodError> {
    let mut bar = scorer.progress("calibration", images.len());
    let mut all = Vec::with_capacity(images.len());
    for chunk in chunks(images.len(), scorer.lid_batch(route)?) {
        let key = format!("calibration {route:?} {}", chunk.start);
        if journal.get::<Vec<Prepared>>(&key).is_none() {
            let part = images.select(&chunk.clone().collect::<Vec<_>>());
            let outcomes = scorer.prepare(&part, route, stop, &mut bar)?;
            let prepared: Vec<Prepared> = outcomes
                .into_iter()
                .enumerate()
                .map(|(i, o)| o.map_err(|e| OodError::from(e).at(&images.name, chunk.start + i)))
                .collect::<Result<_, _>>()?;
            journal.put(&key, &prepared)?;
        } else {
            bar.skip(chunk.len());
        }
        all.extend(whole::<Prepared>(journal, &key, chunk.len())?);
    }
    bar.finish(&images.name);
    Ok(all)
}

/// What the journal holds of a chunk, which must be all of it.
fn whole<T: DeserializeOwned>(
    journal: &Journal,
    key: &str,
    len: usize,
) -> Result<Vec<T>, OodError> {
    let found = journal.get::<Vec<T>>(key).filter(|found| found.len() == len);
    found.ok_or_else(|| OodError::Journal { path: journal.path().to_path_buf() })
}

fn chunks(len: usize, batch: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let size = batch.max(CHUNK);
    (0..len).step_by(size).map(move |from| from..(from + size).min(len))
}

/// Every image by one route, and the seconds that each took which was computed now.
fn pieces<B: FlowBackend>(
    survey: &Survey,
    route: Route,
    estimators: &[Estimator],
    scales: &[Option<Chosen>],
    (scorer, ensemble): (Option<&Scorer<B>>, &[Member<B>]),
    journal: &mut Journal,
) -> Result<(Vec<Piece>, Option<f64>), OodError> {
    let images = survey.images;
    // The first scale decides where matrix-free LID is accurate; no two estimators share that route.
    let stop = scales.iter().flatten().next().map_or(StopAt::Everywhere, |c| StopAt::Scale(c.r));
    let names: Vec<&str> = estimators.iter().map(|e| e.name()).collect();
    let mut bar = Progress::new(survey.verbosity, &names.join(","), images.len());
    let (mut all, mut seconds, mut computed) = (Vec::with_capacity(images.len()), 0.0, 0);
    let chunks: Vec<_> = match (route, scorer) {
        // Neighbours are looked for among all.
        (Route::Points(_) | Route::Ensemble, _) | (_, None) => {
            chunks(images.len(), images.len()).collect()
        }
        (_, Some(scorer)) => chunks(images.len(), scorer.lid_batch(route)?).collect(),
    };
    for chunk in chunks {
        let key = format!("images {route:?} {}", chunk.start);
        if journal.get::<Vec<Piece>>(&key).is_none() {
            let start = Instant::now();
            let outcomes = match route {
                Route::Points(estimator) => points(images, estimator, survey.k, &mut bar)?,
                Route::Ensemble => densities(images, ensemble, &mut bar)?,
                Route::Spectrum | Route::Krylov => {
                    let part = images.select(&chunk.clone().collect::<Vec<_>>());
                    model(scorer).prepare(&part, route, stop, &mut bar)?
                }
            };
            seconds += start.elapsed().as_secs_f64();
            computed += chunk.len();
            let pieces: Vec<Piece> =
                outcomes.iter().map(|o| piece(o, estimators, scales)).collect();
            journal.put(&key, &pieces)?;
        } else {
            bar.skip(chunk.len());
        }
        all.extend(whole::<Piece>(journal, &key, chunk.len())?);
    }
    bar.finish(&images.name);
    Ok((all, (computed > 0).then(|| seconds / computed as f64)))
}

fn finite(v: f64) -> Option<f64> {
    v.is_finite().then_some(v)
}

fn nan(curve: &[Option<f64>]) -> Vec<f64> {
    curve.iter().map(|v| v.unwrap_or(f64::NAN)).collect()
}

/// What is kept of one image.
fn piece(outcome: &Outcome, estimators: &[Estimator], scales: &[Option<Chosen>]) -> Piece {
    let prepared = match outcome {
        Ok(prepared) => prepared,
        Err(failure) => {
            let not_finite = match failure {
                Failure::NotFinite(count) => *count,
                Failure::NoConvergence => 0,
            };
            let no_convergence = *failure == Failure::NoConvergence;
            return Piece {
                lids: vec![None; estimators.len()],
                curves: Vec::new(),
                matrix_free: None,
                trouble: Trouble { not_finite, no_convergence, ..Trouble::default() },
            };
        }
    };
    let pairs = || estimators.iter().zip(scales);
    let r = scales.iter().flatten().map(|c| c.r).fold(f64::INFINITY, f64::min);
    let matrix_free = match prepared {
        Prepared::Krylov(krylov) => {
            let reading = krylov.read(r);
            Some(MatrixFreeColumns {
                standard_error: finite(reading.standard_error),
                low: finite(reading.low),
                high: finite(reading.high),
                quadrature_error: finite(reading.quadrature_error),
                products: krylov.products,
                probes: krylov.probes,
                converged: krylov.converged,
            })
        }
        Prepared::Spectrum(_) | Prepared::Densities(_) | Prepared::Point(_) => None,
    };
    let not_finite = match prepared {
        Prepared::Densities(densities) => densities.not_finite,
        Prepared::Spectrum(_) | Prepared::Krylov(_) | Prepared::Point(_) => 0,
    };
    Piece {
        lids: pairs().map(|(e, c)| finite(e.lid(prepared, c.map_or(0.0, |c| c.r)))).collect(),
        curves: pairs()
            .map(|(e, c)| match c {
                Some(_) => e.curve(prepared).into_iter().map(finite).collect(),
                None => Vec::new(),
            })
            .collect(),
        matrix_free,
        trouble: Trouble {
            not_finite,
            no_convergence: false,
            negative: prepared.negative(),
            unresolved: r < prepared.resolution(),
        },
    }
}
