//! Reading several tensors at once reads their primals.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::ops::{TransactionOps, TransactionPrimitive, TransactionPrimitiveData};

use crate::backend::Forward;

impl<B: Backend> TransactionOps<Self> for Forward<B> {
    async fn tr_execute(
        transaction: TransactionPrimitive<Self>,
    ) -> Result<TransactionPrimitiveData, ExecutionError> {
        let floats = transaction.read_floats.into_iter().map(|x| x.primal).collect();
        let inner = TransactionPrimitive::new(
            floats,
            transaction.read_qfloats,
            transaction.read_ints,
            transaction.read_bools,
        );
        B::tr_execute(inner).await
    }
}
