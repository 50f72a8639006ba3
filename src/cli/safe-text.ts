/**
 * Text on its way to a terminal. File, tensor and metadata names are a stranger's: control characters could move the
 * cursor or fake lines, bidirectional marks could turn words round.
 */

/** Longest error line: a terminal's screen at 80 columns still shows what stands above it. */
const MOST_LINE_CHARACTERS = 600

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** The text on one line, with everything that a terminal would act on written as `\uXXXX`. */
export function safeText(text: string): string {
  return text.replace(UNSAFE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A message as one line of at most 600 characters: line breaks become blanks, what is too long loses its middle. */
export function oneLine(message: string): string {
  const line = safeText(message.trim().replace(/\s*[\r\n]+\s*/g, ' '))
  if (line.length <= MOST_LINE_CHARACTERS) return line
  const half = Math.floor((MOST_LINE_CHARACTERS - 3) / 2)
  return `${line.slice(0, half)} … ${line.slice(-half)}`
}
