/**
 * Text on its way to a terminal. File, tensor and metadata names are a stranger's: control characters could move the
 * cursor or fake lines, bidirectional marks could turn words round.
 */

/** Longest line for an error, `error: ` and all within 600: what stood above it is still on the screen. */
export const LINE_CHARACTERS = 590

/** For messages that list what we know (`--pre`: 90 names); nothing in them comes from a file without being cut. */
export const LIST_CHARACTERS = 2000

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** The text on one line, with everything that a terminal would act on written as `\uXXXX`. */
export function safeText(text: string): string {
  return text.replace(UNSAFE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A message as one line: line breaks become blanks, what is longer than `most` loses its middle. */
export function oneLine(message: string, most = LINE_CHARACTERS): string {
  const line = safeText(message.trim().replace(/\s*[\r\n]+\s*/g, ' '))
  if (line.length <= most) return line
  const half = Math.floor((most - 3) / 2)
  return `${line.slice(0, half)} … ${line.slice(-half)}`
}
