import assert from 'node:assert/strict'

/** For assert.throws and assert.rejects: an error of this kind, whose message gives this reason. */
export const refused =
  (kind: new (...args: never[]) => Error, reason: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof kind, String(error))
    assert.match(error.message, reason)
    return true
  }
