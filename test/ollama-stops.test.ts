import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { stopsOf } from '../src/ollama/stops.js'
import { studyChatTemplate } from '../src/ollama/study-template.js'

const turns = (turn: string, opening = ''): string =>
  `{{ bos_token }}{% for m in messages %}${turn}{% endfor %}{% if add_generation_prompt %}${opening}{% endif %}`
const CHATML = turns("{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}", "{{ '<|im_start|>assistant\\n' }}")

interface Case {
  readonly what: string
  readonly template?: string
  readonly eos: readonly string[]
  readonly tokens?: { readonly bosToken?: string; readonly eosToken?: string }
  readonly stops: readonly string[]
}

const CASES: readonly Case[] = [
  { what: 'takes the eos texts as they come where there is no chat template', eos: ['</s>', '<|end|>', '</s>', ''], stops: ['</s>', '<|end|>'] },
  { what: 'adds the end of an answer to the eos texts', template: CHATML, eos: ['<|endoftext|>'], stops: ['<|endoftext|>', '<|im_end|>'] },
  { what: 'says nothing twice', template: CHATML, eos: ['<|im_end|>', '<|endoftext|>'], stops: ['<|im_end|>', '<|endoftext|>'] },
  {
    what: 'never takes a token that opens an answer, even when it is listed as eos',
    template: CHATML,
    eos: ['<|im_start|>', '<|im_end|>'],
    stops: ['<|im_end|>'],
  },
  {
    what: 'leaves out the <|assistant|> that Phi-3 lists as eos',
    template: `{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}`,
    tokens: { bosToken: '<s>', eosToken: '<|endoftext|>' },
    eos: ['<|endoftext|>', '<|assistant|>', '<|end|>'],
    stops: ['<|endoftext|>', '<|end|>'],
  },
  {
    what: 'keeps an eos that opens a user turn where the model ends so (GLM-4)',
    template: `[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}`,
    tokens: { eosToken: '<|endoftext|>' },
    eos: ['<|endoftext|>', '<|user|>'],
    stops: ['<|endoftext|>', '<|user|>'],
  },
  {
    what: 'does not find an end where the next turn opens at once',
    template: `{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}`,
    eos: ['<|endoftext|>'],
    stops: ['<|endoftext|>'],
  },
  {
    what: 'finds the end where a default system message is written first',
    template: `{% if messages[0].role != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}${CHATML}`,
    eos: [],
    stops: ['<|im_end|>'],
  },
  {
    what: 'finds the end where an answer is always opened',
    template: turns("{{ '<|h|>' + m.role + '<|/h|>' + m.content + '<|eot|>' }}").replace(
      '{% if add_generation_prompt %}{% endif %}',
      "{{ '<|h|>assistant<|/h|>' }}",
    ),
    eos: ['<|end|>', '<|/h|>'],
    stops: ['<|end|>', '<|eot|>'],
  },
  {
    what: 'keeps the eos of a template that has no turns but ends every text with it',
    template: '{% for m in messages %}{{ m.content + eos_token }}{% endfor %}',
    tokens: { bosToken: '<s>', eosToken: '</s>' },
    eos: ['</s>'],
    stops: ['</s>'],
  },
  {
    what: "takes an answer's end, not the end of its thinking",
    template: turns(
      "{% if m.role == 'user' %}<|u|>{{ m.content }}<|close|>{% else %}<|a|><|think|><|close|>{{ m.content }}<|close|><|done|>{% endif %}",
      '<|a|><|think|>',
    ),
    eos: ['<|done|>'],
    stops: ['<|done|>'],
  },
  {
    what: 'takes no plain text for a token (Alpaca)',
    template: turns("{{ '### ' + m.role + ':\\n' + m.content + '\\n\\n' }}", "{{ '### assistant:\\n' }}"),
    eos: ['</s>'],
    stops: ['</s>'],
  },
  {
    what: 'knows the wide bars of DeepSeek',
    template: turns(
      "{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}<｜Assistant｜>{{ m.content }}<｜end▁of▁sentence｜>{% endif %}",
      '<｜Assistant｜>',
    ),
    eos: [],
    stops: ['<｜end▁of▁sentence｜>'],
  },
  { what: 'lives with a broken template', template: '{% for', eos: ['</s>'], stops: ['</s>'] },
  { what: 'lives with a template that refuses everything', template: "{{ raise_exception('no') }}", eos: ['</s>'], stops: ['</s>'] },
]

describe('stops of a model', () => {
  for (const { what, template, eos, tokens = {}, stops } of CASES) {
    it(what, async () => {
      const study = template === undefined ? undefined : await studyChatTemplate(template, tokens)
      assert.deepEqual(stopsOf(study === undefined || 'failed' in study ? undefined : study, eos), stops)
    })
  }
})
