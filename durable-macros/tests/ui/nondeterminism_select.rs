use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() -> u32 {
    tokio::select! {
        () = async {} => 1,
        () = async {} => 2,
    }
}

fn main() {}
