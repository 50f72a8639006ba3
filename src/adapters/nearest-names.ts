/** The names that a misspelt or misplaced name may have meant, for messages. Bounded work on any input. */
import { editDistance } from '../core/edit-distance.js'

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
