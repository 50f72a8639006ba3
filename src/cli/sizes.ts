/** `to-gguf MODEL --sizes`: what each file type would take, do to the weights, and fit into. Writes nothing. */
import { ggufSizes, type MeasuredSizes } from '../host/sizes.js'
import type { GgufOptions } from '../host/options.js'
import { CARDS } from '../plan/sizes.js'
import { UNSUPPORTED_FILE_TYPES } from '../quantize/file-types.js'
import { safeText } from './safe-text.js'
import { formatBytes } from './values.js'

export interface SizesFlags {
  readonly json?: boolean
  readonly measure?: boolean
}

/** Prints the table, or one event with --json. @throws ToolkitError */
export async function showSizes(options: GgufOptions, { json = false, measure = false }: SizesFlags): Promise<void> {
  const sizes = await ggufSizes(options, measure)
  process.stdout.write(json ? `${JSON.stringify(sizesFacts(sizes))}\n` : sizesText(sizes))
}

function sizesFacts({ weights, room, types, refused, errors }: MeasuredSizes): object {
  return {
    event: 'result',
    sizes: types.map(({ fileType, bytes, bitsPerWeight, fits, notes }) => ({ type: fileType, bytes, bitsPerWeight, fits, ...errors?.get(fileType), notes })),
    refused: refused.map(({ fileType, reason }) => ({ type: fileType, reason })),
    unsupported: Object.entries(UNSUPPORTED_FILE_TYPES).map(([type, { nearest }]) => ({ type, nearest })),
    weights,
    cards: CARDS.map((card) => card * 2 ** 30),
    room,
  }
}

function sizesText({ weights, room, types, refused, errors }: MeasuredSizes): string {
  const head = ['type', 'file size', 'bits/weight', ...(errors === undefined ? [] : ['rmse', 'of weights']), 'fits']
  const rows = types.map(({ fileType, bytes, bitsPerWeight, fits, notes }) => {
    const error = errors?.get(fileType)
    const measured = error === undefined ? [] : [error.rmse === 0 ? '0' : error.rmse.toPrecision(3), `${(error.relative * 100).toFixed(2)} %`]
    const cards = fits.length === 0 ? '-' : fits.map((card) => `${card}`).join(' ')
    return [fileType, formatBytes(bytes), bitsPerWeight.toFixed(2), ...measured, notes.length === 0 ? `${cards} GB` : `${cards} GB (${notes.join('; ')})`]
  })
  const lines = columns([head, ...rows])
  lines.push(
    '',
    `${weights} weights. "fits": cards of ${CARDS.join(', ')} GB that hold the file, ${room.tokens} tokens of context in f16 (${formatBytes(room.contextBytes)})`,
  )
  lines.push(`and ${formatBytes(room.computeBytes)} to compute in. Less context takes less room; layers that do not fit can stay on the CPU, slowly.`)
  if (errors !== undefined)
    lines.push('rmse: root of the mean squared error over sampled rows, and as a part of the weights’ own size; smaller is closer to the model.')
  if (refused.length > 0) lines.push(...refused.map(({ fileType, reason }) => `not possible here: ${fileType}: ${reason}`))
  lines.push(`not supported: ${Object.keys(UNSUPPORTED_FILE_TYPES).join(', ')}`)
  return `${lines.map(safeText).join('\n')}\n`
}

/** The first column to the left, numbers to the right, the last as it is. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  return rows.map((row) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
  )
}
