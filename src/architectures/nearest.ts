/** The nearest of the known names to one that is not known, for "did you mean" in messages. */
import { editDistance } from '../core/edit-distance.js'

const COMPARED_CHARACTERS = 64 // names are untrusted and the comparison is quadratic; no known name is longer

/**
 * The name with the fewest single-character edits, upper and lower case alike; undefined when even that one shares
 * less than a third of its characters.
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Infinity
  for (const candidate of known) {
    const distance = editDistance(prepared(name), prepared(candidate))
    if (distance < bestDistance && distance <= (Math.max(candidate.length, name.length) * 2) / 3) [best, bestDistance] = [candidate, distance]
  }
  return best
}

function prepared(name: string): string {
  return name.slice(0, COMPARED_CHARACTERS).toLowerCase()
}
