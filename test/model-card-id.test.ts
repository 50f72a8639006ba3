/** Names of models: every row of the tables is what the reference's own functions gave. No golden data needed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { idToTitle, modelIdComponents } from '../src/model-card/model-id.js'
import type { ModelIdComponents } from '../src/model-card/model-id.js'
import { asciiDigits, strip } from '../src/model-card/python-text.js'
import { countParameters, sizeLabel } from '../src/model-card/size-label.js'
import { HANG_MS } from './support/hang.js'

// Made with gguf-py of llama.cpp 0c1e570 (Python 3.11): Metadata.get_model_id_components(id, total_params).
// 6,000 more names, drawn at random from such parts, were compared when this was written: all equal.
const IDS: readonly (readonly [id: string, totalParams: number, components: ModelIdComponents])[] = [
  [
    'meta-llama/Llama-2-7b-chat-hf',
    6_738_415_616,
    { fullName: 'Llama-2-7b-chat-hf', organization: 'meta-llama', basename: 'Llama-2', finetune: 'chat-hf', sizeLabel: '7B' },
  ],
  ['Tiny-Llama-1M-Chat-v1.0', 1_000_000, { fullName: 'Tiny-Llama-1M-Chat-v1.0', basename: 'Tiny-Llama', finetune: 'Chat', version: 'v1.0', sizeLabel: '1M' }],
  ['Phi-3-mini-128k-instruct', 3_821_079_552, { fullName: 'Phi-3-mini-128k-instruct', basename: 'Phi-3', finetune: '128k-instruct', sizeLabel: 'mini' }],
  ['Phi-3-mini-128k-instruct', 0, { fullName: 'Phi-3-mini-128k-instruct', basename: 'Phi-3-mini', finetune: 'instruct', sizeLabel: '128K' }],
  ['Phi-3-mini-128k-instruct', 128_000, { fullName: 'Phi-3-mini-128k-instruct', basename: 'Phi-3-mini', finetune: 'instruct', sizeLabel: '128K' }],
  ['bigscience/bloom-7b1', 7_069_016_064, { fullName: 'bloom-7b1', organization: 'bigscience', basename: 'bloom', sizeLabel: '7.1B' }],
  ['bloom-7b1', 0, { fullName: 'bloom-7b1', basename: 'bloom', sizeLabel: '7.1B' }],
  [
    'mistralai/Mixtral-8x7B-Instruct-v0.1',
    46_702_792_704,
    { fullName: 'Mixtral-8x7B-Instruct-v0.1', organization: 'mistralai', basename: 'Mixtral', finetune: 'Instruct', version: 'v0.1', sizeLabel: '8x7B' },
  ],
  ['Qwen3-30B-A3B', 30_532_122_624, { fullName: 'Qwen3-30B-A3B', basename: 'Qwen3', sizeLabel: '30B-A3B' }],
  ['Qwen2.5-0.5B-Instruct', 494_032_768, { fullName: 'Qwen2.5-0.5B-Instruct', basename: 'Qwen2.5', finetune: 'Instruct', sizeLabel: '0.5B' }],
  ['gpt2', 124_439_808, { fullName: 'gpt2' }],
  ['gpt2-tiny', 133_000, { fullName: 'gpt2-tiny' }],
  ['gpt2-xl', 1_557_611_200, { fullName: 'gpt2-xl', basename: 'gpt2', sizeLabel: 'xl' }],
  ['gpt2-medium-1_5B', 1_500_000_000, { fullName: 'gpt2-medium-1_5B', basename: 'gpt2-medium', sizeLabel: '1.5B' }],
  ['small-x-large', 0, { fullName: 'small-x-large', basename: 'small-x', sizeLabel: 'large' }],
  ['x-small-large-3B-3b', 0, { fullName: 'x-small-large-3B-3b', basename: 'x-small-large', sizeLabel: '3B' }],
  [
    'Mistral-7B-v0.1-Instruct-v0.2',
    7_241_732_096,
    { fullName: 'Mistral-7B-v0.1-Instruct-v0.2', basename: 'Mistral', finetune: 'Instruct', version: 'v0.1-v0.2', sizeLabel: '7B' },
  ],
  ['v1.5-llama', 0, { fullName: 'v1.5-llama' }],
  ['2-7B', 0, { fullName: '2-7B', basename: '2', sizeLabel: '7B' }],
  ['7B-Chat', 0, { fullName: '7B-Chat', finetune: '7B-Chat' }],
  ['llama-iter2-V3', 0, { fullName: 'llama-iter2-V3', basename: 'llama', version: 'iter2-V3' }],
  ['a-lora', -50_000, { fullName: 'a-lora' }],
  ['a-LoRA-7B', -50_000, { fullName: 'a-LoRA-7B', basename: 'a', sizeLabel: '7B' }],
  ['a-7B-lora', -50_000_000_000, { fullName: 'a-7B-lora', basename: 'a', sizeLabel: '7B' }],
  ['a-lora', 0, { fullName: 'a-lora', basename: 'a', finetune: 'lora' }],
  ['Model-q4_K-fp16', 0, { fullName: 'Model-q4_K-fp16' }],
  ['model-iq2_x_s-7B', 0, { fullName: 'model-iq2_x_s-7B', basename: 'model', sizeLabel: '7B' }],
  ['model-iq2_xs-7B', 0, { fullName: 'model-iq2_xs-7B', basename: 'model-iq2_xs', sizeLabel: '7B' }],
  ['m-BFP16-1T', 0, { fullName: 'm-BFP16-1T', basename: 'm', sizeLabel: '1T' }],
  ['My nice model-7B', 7_000_000_000, { fullName: 'My nice model-7B' }],
  ['org/My nice/model', 0, { fullName: 'org/My nice/model' }],
  ['a/b/c-7B', 0, { fullName: 'b/c-7B', organization: 'a', basename: 'b/c', sizeLabel: '7B' }],
  ['/x-1B', 0, { fullName: 'x-1B', organization: '', basename: 'x', sizeLabel: '1B' }],
  ['./local-7B', 7_000_000_000, { fullName: 'local-7B', basename: 'local', sizeLabel: '7B' }],
  ['../up', 0, { fullName: 'up' }],
  ['.hidden/x-v1', 0, { fullName: 'x-v1', basename: 'x', version: 'v1' }],
  ['', 0, { fullName: '' }],
  ['---', 0, { fullName: '---' }],
  ['-a--b-7B-', 0, { fullName: '-a--b-7B-', basename: 'a-b', sizeLabel: '7B' }],
  ['Model-7B', 875_000_000, { fullName: 'Model-7B', basename: 'Model', finetune: '7b' }],
  ['Model-7B', 56_000_000_000, { fullName: 'Model-7B', basename: 'Model', sizeLabel: '7B' }],
  ['Model-7B', 3_733_333_333, { fullName: 'Model-7B', basename: 'Model', finetune: '7b' }],
  ['Model-7B', 3_733_333_334, { fullName: 'Model-7B', basename: 'Model', sizeLabel: '7B' }],
  ['Model-7B', -56_000_000_000, { fullName: 'Model-7B', basename: 'Model', sizeLabel: '7B' }],
  ['Model-7B', -57_000_000_000, { fullName: 'Model-7B', basename: 'Model', finetune: '7b' }],
  ['m-٣B', 3_000_000_000, { fullName: 'm-٣B', basename: 'm', sizeLabel: '٣B' }],
  ['m-mını-v٣', 0, { fullName: 'm-mını-v٣', basename: 'm', version: 'v٣', sizeLabel: 'mını' }],
  ['İter4-b-7K', 0, { fullName: 'İter4-b-7K', basename: 'İter4-b', sizeLabel: '7K' }],
  ['m-7\u212a', 0, { fullName: 'm-7\u212a', basename: 'm', sizeLabel: '7\u212a' }],
  ['ınstruct-vİsıon', 0, { fullName: 'ınstruct-vİsıon', basename: 'ınstruct', finetune: 'vİsıon' }],
  ['x-ınstruct', 0, { fullName: 'x-ınstruct', basename: 'x', finetune: 'ınstruct' }],
  ['m-5x3b1', 0, { fullName: 'm-5x3b1', basename: 'm', sizeLabel: '5x3.1B' }],
  ['m-A7B2', 7_000_000_000, { fullName: 'm-A7B2', basename: 'm', sizeLabel: 'A7.2B' }],
  ['m-2_5b2', 2_500_000_000, { fullName: 'm-2_5b2', basename: 'm', sizeLabel: '2.5.2B' }],
  ['granite-3.3-2b-instruct', 99_000, { fullName: 'granite-3.3-2b-instruct', basename: 'granite-3.3', finetune: '2b-instruct' }],
  ['0414-x', 0, { fullName: '0414-x' }],
  ['GLM-4-9B-0414', 9_400_000_000, { fullName: 'GLM-4-9B-0414', basename: 'GLM-4', version: '0414', sizeLabel: '9B' }],
  ['m-1.5-2.0-v3-chat-v4', 0, { fullName: 'm-1.5-2.0-v3-chat-v4', basename: 'm-1.5-2.0-v3', finetune: 'chat', version: 'v4' }],
]

// Metadata.id_to_title(id)
const TITLES: readonly (readonly [id: string, title: string])[] = [
  ['tiny-llama', 'Tiny Llama'],
  ['c4ai-command-r', 'C4Ai Command R'],
  ["it's-ok", "It'S Ok"],
  ['v1.0', 'v1.0'],
  ['v1.x', 'V1.X'],
  ['7b-x', '7b X'],
  ['GPT-oss', 'GPT Oss'],
  ['  a\u00a0b ', 'A B'],
  ['stra\u00dfe', 'Stra\u00dfe'],
  ['\u00e9a-\u00f1b', '\u00c9a \u00d1b'],
  ['\u01c6z', '\u01c5z'],
  ['\ufb01x', 'Fix'],
  ['\u1fb3b', '\u1fbcb'],
  ['\u0149a', '\u02bcNa'],
  ['\u10d0b', '\u10d0b'],
  ['x_y', 'X_Y'],
  ['a\u03c2', 'A\u03c2'],
  ['\u0663x', '\u0663x'],
  ['v\u0663', 'v\u0663'],
  ['a\u001cb', 'A B'],
  ['a\ufeffb', 'A\ufeffB'],
  ['mcDonald', 'mcDonald'],
  ['', ''],
]

// gguf.size_label(total, shared, expert, expert_count)
const SIZES: readonly (readonly [total: number, shared: number, expert: number, expertCount: number, label: string])[] = [
  [0, 0, 0, 0, '0.00K'],
  [5, 5, 0, 0, '0.01K'],
  [125, 0, 0, 0, '0.12K'],
  [135, 0, 0, 0, '0.14K'],
  [500, 0, 0, 0, '0.50K'],
  [999, 0, 0, 0, '1.0K'],
  [1_000, 0, 0, 0, '1.0K'],
  [2_250, 0, 0, 0, '2.2K'],
  [2_350, 0, 0, 0, '2.4K'],
  [9_500, 0, 0, 0, '10K'],
  [9_950, 0, 0, 0, '10K'],
  [10_500, 0, 0, 0, '10K'],
  [11_500, 0, 0, 0, '12K'],
  [99_500, 0, 0, 0, '100K'],
  [999_999, 0, 0, 0, '1000K'],
  [1_000_000, 0, 0, 0, '1000K'],
  [1_000_001, 0, 0, 0, '1.0M'],
  [6_738_415_616, 0, 0, 0, '6.7B'],
  [1_000_000_000, 0, 0, 0, '1000M'],
  [1_000_000_000_000, 0, 0, 0, '1000B'],
  [1_000_000_000_001, 0, 0, 0, '1.0T'],
  [-133_000, 0, 0, 0, '133K'],
  [46_702_792_704, 1_605_636_096, 5_637_144_576, 8, '8x7.2B'],
  [100, 60_000, 68_000, 4, '4x128K'],
]

describe('modelIdComponents', () => {
  for (const [id, total, expected] of IDS) {
    it(`takes ${JSON.stringify(id)} of ${total} parameters apart as the reference does`, () => {
      assert.deepEqual(modelIdComponents(id, total), expected)
    })
  }

  it('takes a name of a million dashes apart in bounded time', () => {
    const start = performance.now()
    assert.equal(modelIdComponents('-a'.repeat(500_000), 1).basename, undefined)
    assert.ok(performance.now() - start < HANG_MS)
  })
})

describe('idToTitle', () => {
  for (const [id, title] of TITLES) {
    it(`writes ${JSON.stringify(id)} as ${JSON.stringify(title)}`, () => {
      assert.equal(idToTitle(id), title)
    })
  }
})

describe('Python text', () => {
  it('strips what Python takes for white space, and only that', () => {
    assert.equal(strip('\u001c\u0085 \u3000a b\t\n\u2003'), 'a b')
    assert.equal(strip('\ufeffa'), '\ufeffa')
    assert.equal(strip(' \n '), '')
  })

  it('reads the digits of every script', () => {
    assert.equal(asciiDigits('٣٩x०९7'), '39x097')
    assert.equal(asciiDigits(String.fromCodePoint(0x1d7ce, 0x1d7d7, 0x1d7d8, 0x1d7ff)), '0909')
  })
})

describe('sizeLabel', () => {
  for (const [total, shared, expert, expertCount, label] of SIZES) {
    it(`writes ${total} parameters, ${expertCount} experts as ${label}`, () => {
      assert.equal(sizeLabel({ total, shared, expert, expertCount }), label)
    })
  }
})

describe('countParameters', () => {
  it('counts one expert of each stack, by the dimension before the matrix', () => {
    const tensors = [
      { name: 'token_embd.weight', shape: [10, 4] },
      { name: 'blk.0.ffn_up_exps.weight', shape: [8, 6, 4] },
      { name: 'blk.0.ffn_up_exps.bias', shape: [8, 6] },
      { name: 'blk.1.ffn_up_exps.weight', shape: [4, 6, 4] },
    ]
    assert.deepEqual(countParameters(tensors), { total: 40 + 192 + 48 + 96, shared: 40 + 48, expert: 24 + 24, expertCount: 6 })
  })

  it('counts a LoRA pair as the matrix that it changes, and negates the total', () => {
    const tensors = [
      { name: 'blk.0.attn_q.weight.lora_a', shape: [8, 64] },
      { name: 'blk.0.attn_q.weight.lora_b', shape: [32, 8] },
    ]
    assert.deepEqual(countParameters(tensors), { total: -2048, shared: 2048, expert: 0, expertCount: 0 })
  })

  it('gives up on a LoRA whose A does not stand right before its B, as the reference does', () => {
    const tensors = [
      { name: 'x.lora_a', shape: [8, 64] },
      { name: 'y.lora_b', shape: [32, 8] },
    ]
    assert.deepEqual(countParameters(tensors), { total: 0, shared: 0, expert: 0, expertCount: 0 })
  })
})
