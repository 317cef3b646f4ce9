// call - the program's handlers, whose failures must not reach the SDK (it would disconnect).

export function report(error) {
  if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
  else console.error(error);
}

/** Runs a handler; what it throws, now or as a promise, is reported like any uncaught error. */
export function call(handler, ...values) {
  try {
    const result = handler(...values);
    if (typeof result?.then === 'function') result.then(undefined, report);
  } catch (error) {
    report(error);
  }
}
