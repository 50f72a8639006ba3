/** Runs Python makers of many cases in one process; a case that takes the process down costs only itself. */
import { spawnSync } from 'node:child_process'
import { appendFileSync } from 'node:fs'

const PYTHON = process.env.PYTHON ?? 'python3'

/** Runs Python once. @returns what it printed and how it ended; `log` gets its stderr */
export function python(args, { environment, log }) {
  const run = spawnSync(PYTHON, args, { env: environment, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 })
  if (log !== undefined) appendFileSync(log, `${run.stdout ?? ''}${run.stderr ?? ''}`)
  const ended = run.error?.message ?? (run.signal === null ? `exit ${run.status}` : `ended by ${run.signal}`)
  return { stdout: run.stdout ?? '', isDone: run.status === 0, isKilled: run.signal !== null, why: [ended, lastLine(run.stderr)].filter(Boolean).join(': ') }
}

/**
 * Runs a maker with the given cases as its last arguments.
 *
 * @param parse  reads stdout: the cases that were run, each with why it failed, or with undefined
 * @returns the same over all cases; where the process died on the way, the rest is run in halves until the case that kills it stands alone;
 *          `broken` instead when no case could be run at all
 */
export function runCases(command, cases, { parse, ...options }) {
  const { stdout, isDone, isKilled, why } = python([...command, ...cases], options)
  const results = new Map([...parse(stdout)].filter(([name]) => cases.includes(name)))
  if (results.size === 0 && !isDone && !isKilled && cases.length > 1) return { broken: why, results, crashed: [] }
  return { results, crashed: runRest(command, cases, results, { parse, ...options, why }) }
}

/** Runs what has no result yet, and adds it. @returns the cases that kill the process */
function runRest(command, cases, results, { why, ...options }) {
  const rest = cases.filter((name) => !results.has(name))
  if (rest.length === 0) return []
  if (cases.length === 1) {
    results.set(cases[0], why)
    return cases
  }
  const middle = Math.ceil(rest.length / 2)
  return [rest.slice(0, middle), rest.slice(middle)].flatMap((half) => {
    if (half.length === 0) return []
    const { stdout, why } = python([...command, ...half], options)
    const more = new Map([...options.parse(stdout)].filter(([name]) => half.includes(name)))
    const crashed = runRest(command, half, more, { ...options, why })
    for (const [name, result] of more) results.set(name, result)
    return crashed
  })
}

/** What a tool said last. */
export function lastLine(text) {
  return (text ?? '').trim().split('\n').at(-1)
}
