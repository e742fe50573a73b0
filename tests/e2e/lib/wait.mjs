// Waiting with a limit, so that a test that hangs says what it waited for.

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Calls `probe` until it returns something true, and returns that. An error of the probe counts as
// "not yet", and is shown when the time is over.
export async function until(what, probe, { timeout = 20_000, every = 50 } = {}) {
  const end = Date.now() + timeout;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      const why = last ? `: ${last.message}` : '';
      throw new Error(`waited ${timeout} ms for ${what}${why}`);
    }
    await sleep(every);
  }
}

// The promise's value, or an error that names what took too long.
export async function within(ms, what, promise) {
  let timer;
  const limit = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what}: not done within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
