/** The names that a misspelt or misplaced name may have meant, for messages. Bounded work on any input. */

const MAX_COMPARED = 200 // edit distance is quadratic in the names' lengths
const MAX_CHARACTERS = 160

/**
 * The nearest of `names` by edit distance, nearest first.
 * @param most  how many to give
 */
export function nearestNames(wanted: string, names: Iterable<string>, most = 3): string[] {
  const parts = tail(wanted).split('.')
  // a cheap look at whole components first: same end counts most, then same start
  const likely = Array.from(names, (name) => ({ name, likeness: likeness(parts, tail(name).split('.')) }))
    .sort((a, b) => b.likeness - a.likeness || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_COMPARED)
  return likely
    .map(({ name }) => ({ name, distance: editDistance(tail(wanted), tail(name)) }))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name)
}

function tail(name: string): string {
  return name.slice(-MAX_CHARACTERS)
}

function likeness(a: readonly string[], b: readonly string[]): number {
  let atEnd = 0
  while (atEnd < a.length && atEnd < b.length && a[a.length - 1 - atEnd] === b[b.length - 1 - atEnd]) atEnd++
  let atStart = 0
  while (atStart < a.length - atEnd && atStart < b.length - atEnd && a[atStart] === b[atStart]) atStart++
  return atEnd * 2 + atStart - Math.abs(a.length - b.length) / 4
}

/** Levenshtein's distance in UTF-16 units. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
