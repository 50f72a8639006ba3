/**
 * Indents the lines inside brackets and quotes of a YAML text, where indentation means nothing, so that a strict reader
 * takes them: PyYAML accepts lines at column 0 there, `yaml` follows the specification and does not.
 *
 *     tags: [          tags: [
 *     llama,     ->     llama,
 *     ]                 ]
 *
 * It looks at the beginning of tokens only; where it guesses wrong, the text stays as unreadable as it was.
 */

/** Where in the text a line begins. */
interface State {
  /** The quote that is open, or ''. */
  quote: string
  /** How many brackets are open. */
  open: number
  /** Whether a value may begin here. */
  start: boolean
  /** Indentation of the line that opened a block scalar (`|`, `>`): deeper lines are its text. */
  blockIndent: number | undefined
}

/** The same text with every line inside brackets or quotes indented deeper than the line that opened them. */
export function indentFlowLines(text: string): string {
  const state: State = { quote: '', open: 0, start: true, blockIndent: undefined }
  let margin = ''
  return text
    .split('\n')
    .map((line) => {
      if (state.quote !== '' || state.open > 0) {
        scanLine(line, 0, state)
        return margin + line
      }
      const indent = line.length - line.trimStart().length
      if (state.blockIndent !== undefined && (indent > state.blockIndent || indent === line.length)) return line
      margin = ' '.repeat(indent + 1)
      state.blockIndent = undefined
      state.start = true
      scanLine(line, indent, state)
      return line
    })
    .join('\n')
}

function scanLine(line: string, indent: number, state: State): void {
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? ''
    const next = line[at + 1] ?? ' '
    if (state.quote !== '') {
      // a backslash escapes in double quotes, a second quote in single ones
      if (state.quote === '"' ? character === '\\' : character === "'" && next === "'") at++
      else if (character === state.quote) state.quote = ''
    } else if (character === '#' && (at === 0 || line[at - 1] === ' ')) return
    else if (state.open === 0 && state.start && (character === '|' || character === '>')) {
      state.blockIndent = indent
      return
    } else if (character !== ' ') at = scanToken(line, at, next, state)
  }
}

/** One character outside of quotes; returns the last position that it has taken. */
function scanToken(line: string, at: number, next: string, state: State): number {
  const character = line[at] ?? ''
  const inFlow = state.open > 0
  if (state.start && (character === '!' || character === '&')) {
    const space = line.indexOf(' ', at) // a tag or an anchor stands before the value
    return space < 0 ? line.length : space
  }
  if (state.start && (character === '"' || character === "'")) state.quote = character
  if ((character === '[' || character === '{') && (inFlow || state.start)) {
    state.open++
    state.start = true
  } else if ((character === ']' || character === '}') && inFlow) {
    state.open--
    state.start = false
  } else {
    const separates = next === ' ' || (inFlow && ',[]{}'.includes(next))
    state.start = (character === ',' && inFlow) || (separates && (character === ':' || (state.start && (character === '-' || character === '?'))))
  }
  return at
}
