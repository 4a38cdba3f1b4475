use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() -> u32 {
    futures::select! {
        () = async {} => 1,
        () = async {} => 2,
    }
}

fn main() {}

mod futures {
    macro_rules! select {
        ($($any:tt)*) => {
            1
        };
    }
    pub(crate) use select;
}
