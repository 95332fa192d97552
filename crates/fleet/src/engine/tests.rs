use super::*;
use crate::profile::PROFILES;

fn engine(kind: usize, load: f64, seed: u64) -> Engine {
    let profile = &PROFILES[kind];
    let arrivals = Arrivals::new(profile, load, 43_200.0, Rng::new(seed, 1));
    let gpus = Gpus::new(profile, 4, Rng::new(seed, 3));
    Engine::new(profile, arrivals, gpus, Rng::new(seed, 2))
}

/// Blocks are neither lost nor made, and each sequence holds what it computed.
fn check_blocks(engine: &Engine) {
    let held: u32 = engine.running.iter().map(|s| s.blocks).sum();
    assert_eq!(held + engine.free_blocks, engine.profile.kv_blocks);
    assert!(engine.waiting.iter().all(|s| s.blocks == 0));
    for sequence in &engine.running {
        assert!(sequence.computed <= sequence.blocks * BLOCK_TOKENS);
        assert!(sequence.computed <= sequence.target);
    }
}

#[test]
fn every_number_agrees_with_every_other() {
    for kind in 0..PROFILES.len() {
        let mut engine = engine(kind, 1.0, 11);
        for second in 1..=240 {
            engine.advance(f64::from(second));
            check_blocks(&engine);
            let stats = engine.stats();
            let finished = stats.finished_stop + stats.finished_length + stats.finished_abort;
            assert_eq!(stats.e2e_request_latency.count(), finished);
            assert_eq!(stats.request_decode_time.count(), finished);
            assert!(stats.time_to_first_token.count() >= finished);
            // Each token is a first one or has a gap before it.
            assert_eq!(
                stats.generation_tokens,
                stats.time_to_first_token.count() + stats.inter_token_latency.count()
            );
            let seen = stats.prompt_tokens + stats.generation_tokens;
            assert!((stats.iteration_tokens.sum() - seen as f64).abs() < 0.5);
            let phases = stats.request_queue_time.sum()
                + stats.request_prefill_time.sum()
                + stats.request_decode_time.sum();
            assert!((phases - stats.e2e_request_latency.sum()).abs() < 1e-6 * phases.max(1.0));
            assert!(stats.cache_hits < stats.cache_queries.max(1));
            assert!(engine.running() <= SEQUENCES_MAX);
        }
        assert!(engine.stats().e2e_request_latency.count() > 500);
    }
}

#[test]
fn requests_in_the_engine_are_rate_times_latency() {
    // Little's law, over twenty minutes, for each kind.
    for kind in 0..PROFILES.len() {
        let mut engine = engine(kind, 0.8, 5);
        let ticks = 12_000;
        let mut present = 0;
        for tick in 1..=ticks {
            engine.advance(f64::from(tick) / 10.0);
            present += engine.running() + engine.waiting();
        }
        let mean_present = present as f64 / f64::from(ticks);
        let by_law = engine.stats().e2e_request_latency.sum() / 1200.0;
        let ratio = mean_present / by_law;
        assert!(
            (0.95..1.05).contains(&ratio),
            "{kind}: {mean_present} {by_law}"
        );
    }
}

#[test]
fn how_often_one_asks_changes_nothing() {
    let mut rarely = engine(2, 1.3, 9);
    let mut often = rarely.clone();
    rarely.advance(300.0);
    for tick in 1..=6000 {
        often.advance(f64::from(tick) * 0.05);
    }
    let facts = |engine: &Engine| {
        let stats = engine.stats();
        (
            engine.running(),
            engine.waiting(),
            stats.generation_tokens,
            stats.preemptions,
            stats.e2e_request_latency.sum().to_bits(),
            stats.inter_token_latency.sum().to_bits(),
        )
    };
    assert_eq!(facts(&rarely), facts(&often));
}

#[test]
fn too_much_load_fills_the_cache_queues_and_preempts() {
    let mut engine = engine(2, 3.0, 4);
    engine.advance(600.0);
    check_blocks(&engine);
    assert!(engine.kv_usage() > 0.9, "{}", engine.kv_usage());
    assert!(engine.waiting() > 100, "{}", engine.waiting());
    assert!(engine.stats().preemptions > 0);
}

#[test]
fn usual_load_is_served_within_reason() {
    for kind in 0..PROFILES.len() {
        let mut engine = engine(kind, 1.0, 2);
        engine.advance(900.0);
        let stats = engine.stats();
        let first = stats.time_to_first_token.sum() / stats.time_to_first_token.count() as f64;
        let between = stats.inter_token_latency.sum() / stats.inter_token_latency.count() as f64;
        assert!((0.02..2.0).contains(&first), "{kind}: first token {first}");
        assert!(
            (0.005..0.1).contains(&between),
            "{kind}: between tokens {between}"
        );
    }
}

#[test]
fn an_engine_without_load_rests() {
    let mut engine = engine(0, 1e-6, 1);
    engine.advance(3600.0);
    assert_eq!((engine.running(), engine.waiting()), (0, 0));
    assert!(engine.kv_usage().abs() < 1e-12);
    assert!(engine.gpus().utilisation() < 0.01);
}
