//! Pages of what is asked for, whatever that is.

use std::time::Duration;

use durable_core::{Client, InstanceQuery, RuntimeStatus};
use serde_json::{Map, Value, json};

use super::population::{Population, RARE, id};
use super::told;
use crate::measure::{self, Latencies};
use std::error::Error;

/// Pages of one query, at least: it is asked again from the beginning.
const PAGES: usize = 50;

pub(super) async fn run(population: &Population) -> Result<Value, Box<dyn Error>> {
    let client = population.hub.client();
    let middle = id(population.instances / 2 + 7);
    let one = client.status(middle.as_str()).await?.ok_or("no middle")?;
    let about = |time| time..time + Duration::from_millis(5);
    let query = InstanceQuery::new;
    let prefix = &middle[..middle.len() - 2];
    let queries = [
        ("failed", query().status(RuntimeStatus::Failed)),
        ("suspended", query().status(RuntimeStatus::Suspended)),
        ("blocked", query().blocked(true)),
        ("name", query().name("other")),
        ("tag", query().tag("rare", "yes")),
        ("id_prefix", query().id_prefix(prefix)),
        ("created", query().created(about(one.created_at()))),
        ("completed", query().completed(about(one.last_updated_at()))),
        ("nothing", query()),
    ];
    let mut found = Map::new();
    for (name, query) in queries {
        found.insert(name.to_owned(), ask(&client, &query).await?);
    }
    let begin = measure::now();
    let counted = client.count(query().name("other")).await?;
    found.insert(
        "count_by_name".to_owned(),
        json!({ "counted": counted, "seconds": begin.elapsed().as_secs_f64() }),
    );
    Ok(found.into())
}

/// Asks until a page's worth was found or all was looked at, again and again.
async fn ask(client: &Client, query: &InstanceQuery) -> Result<Value, Box<dyn Error>> {
    let mut latencies = Latencies::default();
    let mut first = None;
    while latencies.len() < PAGES {
        let (begin, mut pages, mut found, mut next) = (measure::now(), 0, 0, None);
        loop {
            let query = query.clone();
            let query = match next.take() {
                Some(next) => query.after(next),
                None => query,
            };
            let one = measure::now();
            let page = client.query(query).await?;
            latencies.add(one.elapsed());
            pages += 1;
            found += page.instances.len();
            next = page.next;
            if found as u64 >= RARE || next.is_none() {
                break;
            }
        }
        first.get_or_insert((pages, found, begin.elapsed()));
    }
    let (pages, found, took) = first.unwrap_or_default();
    let mut told = told(&mut latencies);
    if let Some(told) = told.as_object_mut() {
        told.insert("pages".into(), pages.into());
        told.insert("found".into(), found.into());
        let took = json!(took.as_secs_f64() * 1000.0);
        told.insert("until_found_ms".into(), took);
    }
    Ok(told)
}
