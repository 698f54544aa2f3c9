//! The learner's state as files: burn-train hands over records, one part at a time, from threads of its own.

use super::{TrainError, trainee::Trainee, weights};
use burn::{
    module::Module,
    record::{BinBytesRecorder, FullPrecisionSettings, Record, Recorder},
    tensor::backend::Backend,
    train::checkpoint::{Checkpointer, CheckpointerError},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
};

/// Parts of a checkpoint on their way between burn-train and the disk.
#[derive(Clone)]
pub struct Parts {
    /// Contents by file name.
    pub files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    done: mpsc::Sender<Result<(), String>>,
}

impl Parts {
    /// An empty set, and where each part announces that it is there.
    pub fn new() -> (Self, mpsc::Receiver<Result<(), String>>) {
        let (done, receiver) = mpsc::channel();
        (Self { files: Arc::default(), done }, receiver)
    }

    fn take(&self, name: &str) -> Result<Vec<u8>, CheckpointerError> {
        let files = self.files.lock().map_err(|e| CheckpointerError::Unknown(e.to_string()))?;
        files
            .get(name)
            .cloned()
            .ok_or_else(|| CheckpointerError::Unknown(format!("{name} is missing")))
    }
}

/// Optimizer or scheduler, as bytes.
pub struct Part {
    pub name: &'static str,
    pub parts: Parts,
}

impl<R: Record<B>, B: Backend> Checkpointer<R, B> for Part {
    fn save(&self, _step: usize, record: R) -> Result<(), CheckpointerError> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let saved = recorder.record(record, ()).map_err(|e| e.to_string()).and_then(|bytes| {
            let mut files = self.parts.files.lock().map_err(|e| e.to_string())?;
            files.insert(self.name.to_owned(), bytes);
            Ok(())
        });
        let _ = self.parts.done.send(saved);
        Ok(())
    }

    fn delete(&self, _step: usize) -> Result<(), CheckpointerError> {
        Ok(())
    }

    fn restore(&self, _step: usize, device: &B::Device) -> Result<R, CheckpointerError> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        recorder.load(self.parts.take(self.name)?, device).map_err(CheckpointerError::RecorderError)
    }
}

/// The model, as safetensors.
pub struct ModelPart<B: Backend> {
    pub template: Mutex<Trainee<B>>,
    pub parts: Parts,
}

/// Name of the model's file in a checkpoint.
pub const MODEL: &str = "model.safetensors";

impl<B: Backend> ModelPart<B> {
    fn lock(&self) -> Result<Trainee<B>, String> {
        Ok(self.template.lock().map_err(|e| e.to_string())?.clone())
    }
}

impl<B: Backend> Checkpointer<<Trainee<B> as Module<B>>::Record, B> for ModelPart<B> {
    fn save(
        &self,
        _step: usize,
        record: <Trainee<B> as Module<B>>::Record,
    ) -> Result<(), CheckpointerError> {
        let saved = self.lock().and_then(|template| {
            let bytes = weights::to_bytes(&template.load_record(record).flow)
                .map_err(|e: TrainError| e.to_string())?;
            self.parts.files.lock().map_err(|e| e.to_string())?.insert(MODEL.to_owned(), bytes);
            Ok(())
        });
        let _ = self.parts.done.send(saved);
        Ok(())
    }

    fn delete(&self, _step: usize) -> Result<(), CheckpointerError> {
        Ok(())
    }

    fn restore(
        &self,
        _step: usize,
        _device: &B::Device,
    ) -> Result<<Trainee<B> as Module<B>>::Record, CheckpointerError> {
        let mut trainee = self.lock().map_err(CheckpointerError::Unknown)?;
        weights::from_bytes(&mut trainee.flow, self.parts.take(MODEL)?, &PathBuf::from(MODEL))
            .map_err(|e| CheckpointerError::Unknown(e.to_string()))?;
        Ok(trainee.into_record())
    }
}
