/**
 * rank_pattern and alpha_pattern: which value a module gets. Keys are regular expressions from an untrusted file; the
 * first in file order that matches wins.
 *
 * Law: PEFT 0.21.2 utils/other.py `get_pattern_key`: `re.match(rf"(.*\.)?({key})$", name)`.
 */
import { quoted, UnsupportedError } from '../../core/errors.js'
import { compilePattern, patternBudget } from '../../core/safe-pattern.js'

/** Names and dots, escaped or not: compared letter by letter, because EVA writes one such key for every module. */
const PLAIN_KEY = /^(?:[A-Za-z0-9_-]|\\?\.)+$/

/**
 * Makes the look-up of one pattern object.
 * @param patterns  key -> value, in file order
 * @param field     name of the field, for messages
 * @param file      where it stands, for messages
 * @returns the value of the first key that matches a module's name, or undefined. The name has no base_model.model.
 * @throws FormatError, UnsupportedError for keys that are no patterns, or need more than linear time
 */
export function patternLookup<T>(patterns: ReadonlyMap<string, T>, field: string, file: string): (moduleName: string) => T | undefined {
  const budget = patternBudget()
  const rows = Array.from(patterns, ([key, value]) => ({ value, matches: keyMatcher(key) }))
  return (moduleName) => rows.find((row) => row.matches(moduleName))?.value

  function keyMatcher(key: string): (name: string) => boolean {
    if (PLAIN_KEY.test(key)) return plainMatcher(key)
    const pattern = compilePattern(`(.*\\.)?(${key})$`, file, budget)
    if (pattern.explodesInPython) {
      throw new UnsupportedError(
        `the key ${quoted(key)} of ${quoted(field)} repeats a repeat, which PEFT itself cannot match in reasonable time; simplify it.`,
        { file },
      )
    }
    return (name) => pattern.matchStart(name)
  }
}

/** A key without operators: the name's end, after a dot or from its start; an unescaped dot stands for any character. */
function plainMatcher(key: string): (name: string) => boolean {
  const letters = Array.from(key.matchAll(/\\?./g), ([letter]) => letter)
  return (name) => {
    if (name.includes('\n')) return compilePattern(`(.*\\.)?(${key})$`, '').matchStart(name) // `.` and `$` treat it apart
    let at = name.length
    for (let i = letters.length - 1; i >= 0; i--) {
      const letter = letters[i]
      const code = name[--at]
      if (code === undefined) return false
      // an unescaped dot also takes a character of two halves
      if (letter === '.') at -= code >= '\udc00' && code <= '\udfff' ? 1 : 0
      else if (code !== (letter === '\\.' ? '.' : letter)) return false
    }
    return at === 0 || name[at - 1] === '.'
  }
}
