"""Makes the tokenizers in tests/tokenizer and what the original libraries say to the texts there.

    python tools/parity/make_tokenizers.py tests/tokenizer

sentencepiece 0.2.0: later versions round the scores of unigram models otherwise. Small tokenizers of each kind are trained by the original libraries (`tokenizers`, `tiktoken`, `sentencepiece`
from PyPI) on texts.json; NAME.json is a tokenizer, NAME.expected.json the ids and the decoded text of each text.
"""

import base64
import io
import json
import os
import sys
import tempfile

import sentencepiece
import tiktoken
import tiktoken_ext.openai_public
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = sys.argv[1]

ENGLISH = """It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in
want of a wife. However little known the feelings or views of such a man may be on his first entering a
neighbourhood, this truth is so well fixed in the minds of the surrounding families, that he is considered as the
rightful property of some one or other of their daughters. "My dear Mr. Bennet," said his lady to him one day,
"have you heard that Netherfield Park is let at last?" It's what we'd, they'll and I'VE said; DON'T you?"""
TEXTS = [
    "",
    " ",
    "Hello, world!",
    " leading and  double   spaces \t tab\n\nnew\r\nlines   \n  end   ",
    ENGLISH,
    "Der Löwe schläft größtenteils; übermäßige Straßenbahnhaltestellenschilder über Ärger. "
    "Jeder Mensch hat das Recht auf Leben, Freiheit und Sicherheit der Person.",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。2024年3月15日。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。カタカナ ﾊﾝｶｸ ーヽ",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا ٣٤٥",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। १२३",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 가각간",
    "int main(int argc, char **argv) {\n    for (int i = 0; i < 10; i++) {\n        printf(\"%d\\n\", i);\n    }\n"
    "\treturn x->y != 0x1F ? a_b : CamelCase;\n}\n# comment\nself.__init__(*args, **kwargs)\n",
    "👍🏿 👩🏽‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️‍🔥 ✊🏻 🤷🏾‍♀️ \U0001F9D1\u200D\U0001F4BB",
    "e\u0301 \u00e9 a\u0323\u0307 \u1100\u1161\u11a8 ﬁ ① Å \u212b ﷺ ㌀ ½ ² ｱｲｳﾞ \u0130stanbul ǅ ẞ \u0958 \u0929\u093c",
    "\u00a0\u3000\u2009\u0085\u200b\ufeff x\u00a0y\u2003z\u180e \x0b\x0c\x1c\x00",
    "a<s>b</s> <|endoftext|>c <|endoftext|>  <mask> d<mask>e\n\n\n\n\n<unk><pad> New York NewYork xNew York",
    "1234567890 3.14159 1,000,000 Ⅷ x² ½ ٣٤٥ 一二三",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "pneumonoultramicroscopicsilicovolcanoconiosis" * 12,
    "......!!!!!?????-----=====_____((((()))))\"\"\"'''```",
    "it'\u017f 'LL 'S \u017ft K\u212a",
]
BROKEN = [
    b"\xff\xfe broken \xe4\xb8 utf\xc3 \xf0\x9f\x91 8\xed\xa0\x80 \xc0\xaf \xf4\x90\x80\x80 end\xe4",
    b"\x80abc\xe4\xbd\xa0\xe5\xa5",
]
BYTE_ALPHABET = pre_tokenizers.ByteLevel.alphabet()
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def pattern(text, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(text), behavior, invert)


def bytes_after(*steps):
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def template(tokenizer, before=None, behind=None):
    around = f"{before or ''} $A {behind or ''}".strip()
    ids = [(t, tokenizer.token_to_id(t)) for t in (before, behind) if t]
    return processors.TemplateProcessing(single=around, special_tokens=ids)


def train(tokenizer, size, specials=(), alphabet=(), limit=None):
    options = {"limit_alphabet": limit} if limit else {}
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), initial_alphabet=list(alphabet), show_progress=False,
        **options))
    return tokenizer


def byte_level(pre, normalizer=None, specials=("<|endoftext|>",), size=400, **model):
    t = Tokenizer(models.BPE(**model))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    return train(t, size, specials, BYTE_ALPHABET)


def metaspace(normalizer, pre, decoder, specials=("<unk>", "<s>", "</s>"), size=700, fallback=True):
    """BPE over characters, with bytes for the others, as converted from SentencePiece."""
    t = Tokenizer(models.BPE(byte_fallback=fallback, fuse_unk=True, unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    fallbacks = ["<0x%02X>" % b for b in range(256)] if fallback else []
    train(t, size, [*specials, *fallbacks], limit=120)
    j = json.loads(t.to_str())
    j["added_tokens"] = [a for a in j["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(j))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer, t.decoder = pre, decoder
    return t


def all_tokenizers():
    N, P, D = normalizers, pre_tokenizers, decoders
    yield "gpt2", byte_level(P.ByteLevel(add_prefix_space=False))

    t = byte_level(P.ByteLevel(add_prefix_space=True), specials=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    yield "roberta", t

    t = byte_level(bytes_after(pattern(LLAMA3)), specials=["<|begin_of_text|>", "<|endoftext|>"], ignore_merges=True)
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                            template(t, "<|begin_of_text|>")])
    yield "llama3", t

    yield "qwen", byte_level(bytes_after(pattern(LLAMA3.replace("{1,3}", ""))), N.NFC())
    yield "deepseek", byte_level(bytes_after(
        pattern(r"\p{N}{1,3}"), pattern("[一-龥\u3040-ゟ゠-ヿ]+"),
        pattern(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
                r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")))
    yield "starcoder", byte_level(P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)]))

    space = decoders.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    t = metaspace(N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None, space)
    t.post_processor = template(t, "<s>", "</s>")
    yield "llama2", t
    yield "llama2_new", metaspace(None, P.Metaspace(prepend_scheme="first", split=False), space)
    t = metaspace(N.Replace(" ", "▁"), P.Split(" ", "merged_with_previous"),
                  decoders.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]),
                  ["<pad>", "<eos>", "<bos>", "<unk>"])
    t.add_tokens([AddedToken("\n" * i, normalized=False) for i in range(1, 4)])
    yield "gemma", t
    yield "metaspace", metaspace(None, P.Metaspace(prepend_scheme="always"), D.Metaspace(), fallback=False)

    t = metaspace(N.Sequence([N.NFKC(), N.Lowercase(), N.Strip(True, False), N.Replace(Regex(r"\s+"), " ")]),
                  P.Sequence([P.Punctuation("merged_with_previous"), P.Digits(False), P.Metaspace()]), D.Metaspace(),
                  fallback=False)
    t.add_tokens([AddedToken("New York", single_word=True), AddedToken("É", normalized=True),
                  AddedToken("<mask>", lstrip=True, rstrip=True)])
    yield "steps", t
    yield "accents", metaspace(N.Sequence([N.NFD(), N.StripAccents()]), P.Sequence([P.Whitespace(), P.Metaspace()]),
                               D.Metaspace(), fallback=False)
    yield "nfkd", metaspace(N.NFKD(), P.Sequence([P.WhitespaceSplit(), P.Punctuation("contiguous"), P.CharDelimiterSplit("a"), P.Metaspace()]), D.Metaspace(), fallback=False)
    for behavior in "removed", "merged_with_next", "merged_with_previous", "contiguous":
        yield "split_" + behavior, byte_level(bytes_after(
            pattern(r"\w|\s\d", behavior, invert=behavior == "contiguous")), size=300)

    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.pre_tokenizer, t.decoder = P.Whitespace(), D.BPEDecoder("</w>")
    t.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], limit_alphabet=100,
                                                     end_of_word_suffix="</w>", show_progress=False))
    yield "suffix", t
    t = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    t.pre_tokenizer = P.Whitespace()
    t.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], limit_alphabet=100,
                                                     continuing_subword_prefix="##", show_progress=False))
    yield "prefix", t


def write(name, value):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False)
        f.write("\n")


def around(t):
    ids = t.encode("", add_special_tokens=True).ids
    text = t.encode("x", add_special_tokens=True).ids
    middle = t.encode("x", add_special_tokens=False).ids
    at = next((i for i in range(len(text)) if text[i:i + len(middle)] == middle), 0)
    assert text[:at] + text[at + len(middle):] == ids or not ids
    return {"before": text[:at], "behind": text[at + len(middle):]}


def write_tiktoken():
    """Ranks from the merges of a tokenizer of the same pattern, with an encoding's pattern and special tokens."""
    public = tiktoken_ext.openai_public
    public.load_tiktoken_bpe = public.data_gym_to_mergeable_bpe_ranks = lambda *files, **hashes: {}
    byte_of = {c: i for i, c in zip([b for b in range(256)], byte_names())}
    trained = byte_level(bytes_after(pattern(LLAMA3)), size=500, specials=())
    tokens = sorted((i, t) for t, i in trained.get_vocab().items())
    ranks = {bytes(byte_of[c] for c in t): i for i, t in tokens}
    for name in "gpt2", "cl100k_base", "o200k_base":
        e = getattr(public, name)()
        encoding = tiktoken.Encoding(name, pat_str=e["pat_str"], mergeable_ranks=ranks,
                                     special_tokens=e["special_tokens"])
        file = f"small.{name}.tiktoken"
        with open(os.path.join(OUT, file), "w") as f:
            f.writelines(f"{base64.b64encode(t).decode()} {i}\n" for t, i in ranks.items())
        ids = [encoding.encode(t, allowed_special="all") for t in all_texts()]
        write("tiktoken_" + name + ".expected.json", {"file": file, "ids": ids, "decoded": [encoding.decode(i) for i in ids],
                                        "before": [], "behind": []})


def byte_names():
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in own else chr(next(others)) for b in range(256)]


RULES = {"a\u0301": "\u00e1", "\u00e9": "e", "\ufb01": "f i", "\u2460": "1", "\u3000": " ", "\u00a0": " ", "\t": " ",
         "A": "a", "AA": "b"}


def write_sentencepiece():
    with tempfile.TemporaryDirectory() as work:
        rules = os.path.join(work, "rules.tsv")
        with open(rules, "w") as f: # code points of the text, of what it becomes
            for source, target in RULES.items():
                f.write("\t".join(" ".join("%X" % ord(c) for c in text) for text in (source, target)) + "\n")
        lines = [line for t in TEXTS for line in t.split("\n") if line.strip() and "\0" not in line]
        for name, options in {
            "sp_llama": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", vocab_size=700,
                             remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True),
            "sp_bpe": dict(model_type="bpe", normalization_rule_tsv=rules, vocab_size=400),
            "sp_user": dict(model_type="bpe", normalization_rule_tsv=rules, vocab_size=400, add_dummy_prefix=False,
                            remove_extra_whitespaces=False, user_defined_symbols=["<mask>", "\n", "\n\n", "  ", "é"]),
            "sp_suffix": dict(model_type="bpe", normalization_rule_name="identity", vocab_size=400,
                              treat_whitespace_as_suffix=True),
            "sp_unigram": dict(model_type="unigram", normalization_rule_tsv=rules, vocab_size=300,
                               user_defined_symbols=["<mask>", "New York"], bos_id=-1, pad_id=3),
            "sp_unigram_bytes": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="identity",
                                     vocab_size=620),
        }.items():
            model = io.BytesIO()
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines), model_writer=model, character_coverage=0.98, minloglevel=2,
                hard_vocab_limit=False, num_threads=1, **options)
            with open(os.path.join(OUT, name + ".model"), "wb") as f:
                f.write(model.getvalue())
            p = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
            ids = [p.encode(t) for t in TEXTS + BROKEN]
            write(name + ".expected.json", {"file": name + ".model", "ids": ids, "decoded": [p.decode(i) for i in ids],
                                            "before": [], "behind": []})


def all_texts():
    return TEXTS + [b.decode("utf-8", "replace") for b in BROKEN]


def main():
    write("texts.json", {"texts": TEXTS, "broken": [b.hex() for b in BROKEN]})
    for name, t in all_tokenizers():
        t.save(os.path.join(OUT, name + ".json"), pretty=False)
        ids = [t.encode(x, add_special_tokens=False).ids for x in all_texts()]
        write(name + ".expected.json",
              {"ids": ids, "decoded": [t.decode(i, skip_special_tokens=False) for i in ids], **around(t)})
    write_tiktoken()
    write_sentencepiece()


main()
