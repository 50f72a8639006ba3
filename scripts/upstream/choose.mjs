/** Which parts and cases a command line asks for: `models`, `merge/llama_dora`, `gguf/qwen*`, or the name of a case alone. */

/**
 * @param words  of the command line, none for everything
 * @param cases  all names of each part; a part without cases of its own has none
 * @returns the names asked for, per part that is asked for; `unknown` holds words that match nothing
 */
export function choose(words, cases) {
  const chosen = new Map()
  const unknown = []
  for (const word of words.length === 0 ? Object.keys(cases) : words) {
    const slash = word.indexOf('/')
    const parts = Object.keys(cases).filter((part) => slash < 0 || part === word.slice(0, slash))
    const hits = parts.map((part) => [part, part === word ? cases[part] : matching(cases[part], word.slice(slash + 1))])
    const found = hits.filter(([part, names]) => part === word || names.length > 0)
    if (found.length === 0) unknown.push(word)
    for (const [part, names] of found) chosen.set(part, [...new Set([...(chosen.get(part) ?? []), ...names])])
  }
  return { chosen, unknown }
}

/** `qwen*` stands for all that begin so. */
function matching(names, pattern) {
  return pattern.endsWith('*') ? names.filter((name) => name.startsWith(pattern.slice(0, -1))) : names.filter((name) => name === pattern)
}
