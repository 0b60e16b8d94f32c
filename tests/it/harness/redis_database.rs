//! A Redis database for one test.

use std::sync::{Condvar, Mutex, PoisonError};

/// One of the numbered databases of the Redis server, emptied before and after.
pub(crate) struct RedisDatabase {
    pub(crate) url: String,
    index: usize,
}

static REDIS_IN_USE: Mutex<[bool; 16]> = Mutex::new([false; 16]);
static REDIS_FREED: Condvar = Condvar::new();

impl RedisDatabase {
    pub(crate) fn take(server: &str) -> RedisDatabase {
        let mut in_use = REDIS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let index = loop {
            // Database 0 is left to manual use of the servers.
            if let Some(index) = (1..16).find(|index| !in_use[*index]) {
                break index;
            }
            in_use = REDIS_FREED.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        };
        in_use[index] = true;
        let database = RedisDatabase { url: format!("{server}/{index}"), index };
        database.flush();
        database
    }

    fn flush(&self) {
        let client = redis::Client::open(self.url.as_str()).expect("an address of Redis");
        let connection = client.get_connection();
        drop(connection.map(|mut connection| redis::cmd("FLUSHDB").exec(&mut connection)));
    }
}

impl Drop for RedisDatabase {
    fn drop(&mut self) {
        self.flush();
        REDIS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner)[self.index] = false;
        REDIS_FREED.notify_one();
    }
}
