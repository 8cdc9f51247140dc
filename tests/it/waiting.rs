//! The tests' own waiting, since a wait that cannot fail hides what it waits for.

use std::time::{Duration, Instant};

use crate::support::wait::poll_until;

#[tokio::test]
async fn ends_as_soon_as_it_is_true() {
    let mut looks = 0;
    let found = poll_until(Duration::from_mins(1), async || {
        looks += 1;
        if looks == 3 { Ok("there") } else { Err("not yet".to_owned()) }
    });
    assert_eq!(found.await, Ok("there"));
    assert_eq!(looks, 3);
}

#[tokio::test]
async fn fails_in_time_with_the_last_state() {
    let deadline = Duration::from_millis(200);
    let before = Instant::now();
    let mut looks = 0;
    let failed = poll_until::<()>(deadline, async || {
        looks += 1;
        Err(format!("look {looks}"))
    })
    .await;
    assert!(before.elapsed() < Duration::from_secs(10), "took {:?}", before.elapsed());
    assert!(looks > 1, "it looked once only");
    assert_eq!(failed, Err(format!("look {looks}")));

    // A look that never returns must not hide what was seen before.
    let mut states = vec![Err("almost".to_owned())];
    let hangs = poll_until::<()>(deadline, async || match states.pop() {
        Some(state) => state,
        None => std::future::pending().await,
    });
    assert_eq!(hangs.await, Err("almost".to_owned()));
}
