/**
 * The two names of every module of Stable Diffusion's UNets: those of diffusers (down_blocks, mid_block, up_blocks) and those of
 * the original checkpoints (input_blocks, middle_block, output_blocks). Which block is which follows from the blocks that a
 * UNet has, so SD 1, SD 2, SDXL, its refiner, inpainting and distilled UNets need no tables of their own.
 *
 *   input_blocks.0.0                         conv_in
 *   input_blocks.N.{0,1}                     resnet and attention of the next layer; .0.op ends a down block
 *   middle_block.{0,1,2}                     resnet, attention, resnet
 *   output_blocks.N.{0,1}                    the same; .K.conv ends an up block, K after what else there is
 *
 * Law: diffusers 0.42 loaders/single_file_utils.py `convert_ldm_unet_checkpoint`; sd-scripts library/sdxl_model_util.py.
 */

type Renames = readonly (readonly [original: string, diffusers: string])[]

const OUTSIDE_BLOCKS: Renames = [
  ['input_blocks.0.0', 'conv_in'],
  ['time_embed.0', 'time_embedding.linear_1'],
  ['time_embed.2', 'time_embedding.linear_2'],
  ['label_emb.0.0', 'add_embedding.linear_1'],
  ['label_emb.0.2', 'add_embedding.linear_2'],
  ['out.0', 'conv_norm_out'],
  ['out.2', 'conv_out'],
]
const IN_RESNET: Renames = [
  ['in_layers.0', 'norm1'],
  ['in_layers.2', 'conv1'],
  ['emb_layers.1', 'time_emb_proj'],
  ['out_layers.0', 'norm2'],
  ['out_layers.3', 'conv2'],
  ['skip_connection', 'conv_shortcut'],
]

/** Blocks by both names; the paths of their modules go on alike (attentions), or by IN_RESNET. */
interface Blocks {
  readonly renames: Renames
  readonly attentions: Renames
  readonly resnets: Renames
}

/**
 * The other name of each module that has one.
 * @param modules  paths of modules, in either naming
 */
export function otherUnetNames(modules: Iterable<string>): Map<string, string> {
  const all = [...modules]
  const has = pathSet(all)
  const toOriginal = all.some((name) => name.startsWith('down_blocks.'))
  if (!toOriginal && !all.some((name) => name.startsWith('input_blocks.'))) return new Map()
  const { renames, attentions, resnets } = toOriginal ? diffusersBlocks(has) : originalBlocks(has)
  const pairs = [...OUTSIDE_BLOCKS, ...renames, ...resnets.flatMap(([a, b]) => IN_RESNET.map(([c, d]): [string, string] => [`${a}.${c}`, `${b}.${d}`]))]
  const exact = new Map(pairs.map(([original, diffusers]) => (toOriginal ? [diffusers, original] : [original, diffusers])))
  const starts = new Map(attentions.map(([original, diffusers]) => (toOriginal ? [diffusers, original] : [original, diffusers])))
  const otherName = (name: string): string | undefined => {
    for (const components of [4, 3, 2]) {
      const start = startOf(name, components)
      const block = starts.get(start)
      if (block !== undefined) return block + name.slice(start.length)
    }
    return exact.get(name)
  }
  return new Map(
    all.flatMap((name) => {
      const other = otherName(name)
      return other === undefined ? [] : [[name, other] as const]
    }),
  )
}

/** Every path and every beginning of one. */
function pathSet(names: readonly string[]): (path: string) => boolean {
  const paths = new Set<string>()
  for (const name of names) for (let at = name.length; at > 0; at = name.lastIndexOf('.', at - 1)) paths.add(name.slice(0, at))
  return (path) => paths.has(path)
}

function startOf(name: string, components: number): string {
  return name.split('.').slice(0, components).join('.')
}

type Has = (path: string) => boolean

function diffusersBlocks(has: Has): Blocks {
  const found = { renames: [] as [string, string][], attentions: [] as [string, string][], resnets: [] as [string, string][] }
  const layer = (original: string, block: string, j: number): number => {
    found.resnets.push([`${original}.0`, `${block}.resnets.${j}`])
    if (!has(`${block}.attentions.${j}`)) return 1
    found.attentions.push([`${original}.1`, `${block}.attentions.${j}`])
    return 2
  }
  for (let i = 0, n = 1; has(`down_blocks.${i}`); i++) {
    for (let j = 0; has(`down_blocks.${i}.resnets.${j}`); j++) layer(`input_blocks.${n++}`, `down_blocks.${i}`, j)
    if (has(`down_blocks.${i}.downsamplers.0`)) found.renames.push([`input_blocks.${n++}.0.op`, `down_blocks.${i}.downsamplers.0.conv`])
  }
  for (let i = 0, n = 0; has(`up_blocks.${i}`); i++) {
    let parts = 1
    for (let j = 0; has(`up_blocks.${i}.resnets.${j}`); j++) parts = layer(`output_blocks.${n++}`, `up_blocks.${i}`, j)
    if (has(`up_blocks.${i}.upsamplers.0`)) found.renames.push([`output_blocks.${n - 1}.${parts}.conv`, `up_blocks.${i}.upsamplers.0.conv`])
  }
  addMiddle(found, has('mid_block.attentions.0'))
  return found
}

function originalBlocks(has: Has): Blocks {
  const found = { renames: [] as [string, string][], attentions: [] as [string, string][], resnets: [] as [string, string][] }
  const layer = (original: string, block: string, j: number): void => {
    found.resnets.push([`${original}.0`, `${block}.resnets.${j}`])
    if (has(`${original}.1`) && !has(`${original}.1.conv`)) found.attentions.push([`${original}.1`, `${block}.attentions.${j}`])
  }
  for (let n = 1, i = 0, j = 0; has(`input_blocks.${n}`); n++) {
    if (!has(`input_blocks.${n}.0.op`)) layer(`input_blocks.${n}`, `down_blocks.${i}`, j++)
    else {
      found.renames.push([`input_blocks.${n}.0.op`, `down_blocks.${i}.downsamplers.0.conv`])
      ;[i, j] = [i + 1, 0]
    }
  }
  for (let n = 0, i = 0, j = 0; has(`output_blocks.${n}`); n++) {
    layer(`output_blocks.${n}`, `up_blocks.${i}`, j++)
    const upsampler = [1, 2].find((part) => has(`output_blocks.${n}.${part}.conv`))
    if (upsampler === undefined) continue
    found.renames.push([`output_blocks.${n}.${upsampler}.conv`, `up_blocks.${i}.upsamplers.0.conv`])
    ;[i, j] = [i + 1, 0]
  }
  addMiddle(found, has('middle_block.2'))
  return found
}

function addMiddle({ attentions, resnets }: { attentions: [string, string][]; resnets: [string, string][] }, hasAttention: boolean): void {
  resnets.push(['middle_block.0', 'mid_block.resnets.0'], [`middle_block.${hasAttention ? 2 : 1}`, 'mid_block.resnets.1'])
  if (hasAttention) attentions.push(['middle_block.1', 'mid_block.attentions.0'])
}
