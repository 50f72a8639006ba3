/** What `npm run upstream` prints: a line per change, few per case, all of them in a file; and a summary per part. */
import { appendFileSync } from 'node:fs'
import { say } from '../setup.mjs'

const LINES_PER_CASE = 12
const NAMES_PER_LINE = 2
const CASES_ALIKE = 4 // from this many on, cases that changed alike share a line

/**
 * Changes that read alike in several files or outtypes, as one line each.
 * @param changes  { where, what } each, `where` may be empty
 */
export function changeLines(changes) {
  return [...grouped(changes, ({ what }) => what)].map(([what, same]) => `${places(same)}${what}`)
}

/**
 * The lines of a part: what many cases have in common once, then what is left of each case, cut.
 * @param cases  the changes of each case that has some
 * @param file   where the rest is
 */
export function partLines(cases, file) {
  const all = [...cases].flatMap(([name, changes]) => changes.map((change) => ({ name, ...change })))
  const shared = [...grouped(all, ({ what }) => what)].filter(([, same]) => new Set(same.map(({ name }) => name)).size >= CASES_ALIKE)
  const texts = new Set(shared.map(([what]) => what))
  const own = [...cases].flatMap(([name, changes]) => {
    const rest = changeLines(changes.filter(({ what }) => !texts.has(what)))
    const more = rest.length > LINES_PER_CASE ? [`${name}: and ${rest.length - LINES_PER_CASE} more in ${file}`] : []
    return [...rest.slice(0, LINES_PER_CASE).map((line) => `${name}: ${line}`), ...more]
  })
  return [...shared.map(([what, same]) => `${listed(same.map(({ name }) => name))}: ${places(same)}${what}`), ...own]
}

/** @param file  gets every line of every case */
export function createReport(file) {
  const parts = new Map()
  let untried = []
  let lines = 0
  const show = (kind, text) => {
    lines++
    console.log(`${kind.padEnd(8)} ${text}`)
  }
  const keep = (kind, text) => appendFileSync(file, `${kind.padEnd(8)} ${text}\n`)
  const line = (kind, text) => {
    show(kind, text)
    keep(kind, text)
  }
  return {
    line,
    /** Keeps what changed in a case until its part is printed. */
    compared(part, name, changes) {
      const { count, changed } = parts.get(part) ?? { count: 0, changed: new Map() }
      if (changes.length > 0) changed.set(name, changes)
      parts.set(part, { count: count + 1, changed })
    },
    /** Keeps what was not tried, and what it wants. */
    notRun(part, name, why) {
      untried.push({ part, name, why })
    },
    /** Prints what was kept, and sums it up. */
    print() {
      for (const [why, same] of grouped(untried, ({ why }) => why)) line('not run', `${same[0].part} ${same.map(({ name }) => name).join(', ')}: ${why}`)
      untried = []
      for (const [part, { count, changed }] of parts) {
        for (const [name, changes] of changed) for (const text of changeLines(changes)) keep(part, `${name}: ${text}`)
        for (const text of partLines(changed, file)) show(part, text)
        say(`upstream: ${part}: ${count - changed.size} of ${count} are the same there as here`)
      }
      parts.clear()
    },
    /** Whether there was nothing to print. */
    isEmpty: () => lines === 0,
  }
}

/** Where changes are, before what they are. */
function places(changes) {
  const found = new Set(changes.map(({ where }) => where).filter((where) => where !== ''))
  return found.size === 0 ? '' : `${listed(found)} `
}

function grouped(rows, keyOf) {
  const groups = new Map()
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row])
  return groups
}

function listed(names) {
  const different = [...new Set(names)]
  const more = different.length - NAMES_PER_LINE
  return different.slice(0, NAMES_PER_LINE).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
