/** The nearest of the known names to one that is not known, for "did you mean" in messages. */

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

/** Levenshtein's distance, one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(substituted, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    above = row
  }
  return above[b.length] ?? 0
}
