/** Edits config.json as text, so that numbers keep their digits, keys their order, and lines their look. The text is JSON that was parsed before. */

/** Sets a field wherever the text has it (a part for the text model repeats some), else first of all. */
export function withField(text: string, key: string, value: boolean | number): string {
  const field = new RegExp(`"${key}"(\\s*:\\s*)(?:true|false|null|\\d+)`, 'g')
  const changed = text.replace(field, (_, colon: string) => `"${key}"${colon}${value}`)
  return field.test(text) ? changed : text.replace('{', () => `{\n  "${key}": ${value},`)
}

/** Takes a field out, with its value, wherever an object of the text has it. */
export function withoutField(text: string, key: string): string {
  let edited = text
  for (let at = keyAt(edited, key, 0); at >= 0; at = keyAt(edited, key, at)) {
    let end = valueEnd(edited, edited.indexOf(':', at + key.length + 2) + 1)
    let start = at
    const after = /^\s*,\s*/.exec(edited.slice(end))
    const before = /,\s*$/.exec(edited.slice(0, at))
    if (after !== null) end += after[0].length
    else if (before !== null) start -= before[0].length
    edited = edited.slice(0, start) + edited.slice(end)
    at = start
  }
  return edited
}

/** Where a key stands, not counting strings that say the same, or -1. */
function keyAt(text: string, key: string, from: number): number {
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== '"') continue
    const end = stringEnd(text, at)
    if (at >= from && text.slice(at, end) === `"${key}"` && /^\s*:/.test(text.slice(end, end + 64))) return at
    at = end - 1
  }
  return -1
}

/** The position after a string that begins at `at`. */
function stringEnd(text: string, at: number): number {
  let end = at + 1
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1
  return end + 1
}

/** The position after the value that begins at `at` or after the space there. */
function valueEnd(text: string, at: number): number {
  let depth = 0
  for (let end = at; end < text.length; end++) {
    const character = text[end] ?? ''
    if (depth === 0 && /[,}\]]/.test(character)) return text.slice(0, end).trimEnd().length
    if (character === '"') end = stringEnd(text, end) - 1
    else if (/[{[]/.test(character)) depth++
    else if (/[}\]]/.test(character)) depth--
  }
  return text.length
}
