/** A node:test reporter: one JSON line per finished test (suites left out), so that a script can count what held and what was skipped. */
export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    if (data.details?.type === 'suite') continue
    const outcome = data.skip !== undefined ? 'skip' : data.todo !== undefined ? 'todo' : type === 'test:pass' ? 'pass' : 'fail'
    yield `${JSON.stringify({ file: data.file, name: data.name, outcome, reason: data.skip || undefined })}\n`
  }
}
