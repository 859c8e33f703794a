#!/usr/bin/env python3
"""Makes tests/train/tasks: small data files in the forms in which evaluation sets are published (texts of our own), two small
models, and what lm-evaluation-harness makes of them.

    python3 tools/parity/lm_eval_tasks.py tests/train/tasks

Needs lm_eval, transformers, torch, tokenizers and pyarrow. expected.json has, for each model and task, the measures with their
standard errors and the loglikelihoods of every record; tests/train/test_eval_tasks.c compares."""
import json, os, pathlib, sys

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", DISABLE_MULTIPROC="1")
import pyarrow as pa, pyarrow.parquet as pq, tokenizers, torch, transformers
import lm_eval
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

WINDOW, STEPS = 64, 150
SHOTS = {"arc_easy": 2, "winogrande": 3, "hellaswag": 7}  # examples in the prompt, in a second run
TRAIN = 30

HELLASWAG = [  # activity, ctx_a, ctx_b, endings, label
    ("Peeling an apple", "A woman stands in a kitchen with an apple in her hand.", "she",
     ["peels it slowly with a small knife.", "throws the kitchen out of the window.", "is a hand of an apple.", "sings to a café in Köln."], 0),
    ("Home and Garden", "[header] How to water a fern [title] Use rain water. [step] Ferns do not like the lime of the tap.", "",
     ["[substeps] Put a bucket  under the roof. [title] Wait for rain.", "Boil the fern.", "Leave the lime in the tap. ", "Turn the fern into a roof [title] now."], 0),
    ("Running a race", "Men stand at a line [start] on a track. A man raises a pistol", "then ALL the men",
     ["lie down to sleep.", "run as fast as they can.", "eat the line.", "count the pistol, one by one, and write down the number of lines in it."], 1),
    ("Sharpening knives", "We see an opening title screen. We see a man at a table with a stone, a bottle of water and a long knife. He talks to us and "
     "pours water over the stone, wipes the table, looks at the blade against the light, puts the knife on the stone and moves it up and down, up and down, for a long time.",
     "the man", ["drinks the stone.", "holds the knife up and shows how sharp it is.", "moves the table up and down.", "becomes a bottle."], 1),
    ("Playing chess", "Two girls sit at a board.", "one of them",
     ["moves a pawn.", "moves the board to Łódź — quickly.", "sits.", "is two girls"], 0),
    ("Élan", "A boy jumps from a rock into a lake.", "his friends",
     ["clap their hands.", "clap the lake.", "jump from a boy into a rock.", "are a rock."], 3),
]
ARC = {"Easy": [  # question, labels, choices, answer
    ("Which of these gives light of its own?", "ABCD", ["the moon", "the sun", "a mirror", "a stone"], "B"),
    ("What does a plant need to grow?", "1234", ["water and light", "only sand", "a hammer", "noise"], "1"),
    ("Ice becomes water when it is", "ABC", ["heated", "painted", "cooled further"], "A"),
    ("A thermometer measures the", "ABCDE", ["length of a day", "mass", "temperature", "colour", "speed of a snail in a very long and wet garden"], "C"),
    ("Which animal lays eggs?", "ABCD", ["a hen", "a dog", "a cow", "a horse"], "A"),
], "Challenge": [
    ("Two cars of the same mass move, one twice as fast. Its kinetic energy is", "ABCD", ["the same", "half", "twice", "four times as large"], "D"),
    ("Which change is chemical?", "ABCD", ["salt dissolves", "iron rusts", "ice melts", "glass breaks"], "B"),
    ("At 20 °C, which is a liquid?", "1234", ["mercury", "iron", "oxygen", "sand"], "1"),
    ("Why does a ship of steel float?", "ABCD", ["Steel is light.", "It displaces its own weight of water.", "Water is heavy at night.", "It is painted."], "B"),
]}
PIQA = [  # goal, sol1, sol2, label
    ("dry a wet book", "put paper between the pages and press it", "put the book under water and press it", 0),
    ("To open a jar that is tight,", "hit it with a feather.", "hold the lid under hot water.", 1),
    ("crème", "whisk", "whisk the cream in a cold bowl until it is stiff, then stop", 1),
    ("sharpen a pencil", "turn it in a sharpener", "turn it in a sharpener filled with soup", 0),
    ("What keeps a door open?", "a wedge of wood", "a word", 1),
]
LAMBADA = [
    "the boat was old and the sea was rough, and nobody in the village would sail with him, so in the end he sold the boat",
    "\"do you like the soup?\" she asked.\n\nhe did not like it at all, but he ate the plate empty and said that he had never had such a soup",
    "they walked through the gate of the garden, past the roses and the well, and she sat down by the well",
    "in the café on the corner an old man plays the piano, and when he is tired, a girl of nine sits down and plays the piano",
    "word",
    "it was dark when the train came at last , and the first who left it was the man with the dog , who had missed the",
]
OPENBOOK = [  # stem, choices, answer
    ("A magnet sticks to", ["a nail of iron", "a spoon of wood", "paper", "a cloud"], "A"),
    ("The moon is bright because", ["it burns", "it is painted", "it reflects light of the sun", "it is near"], " C"),
    ("Frogs begin life as", ["birds", "tadpoles that swim", "stones", "soup"], "B"),
]
SCIQ = [  # support, question, wrong ones, right one
    ("  Blood carries oxygen to the cells of a body.", "What does blood carry to cells?", ["sand", "light", "noise"], "oxygen"),
    ("", "What is frozen water called?", ["steam", "fog", "iron"], "ice"),
    ("Plants make sugar from light.\n", "What do plants need to make sugar?", ["the moon", "a hammer", "soup"], "light"),
]
BOOLQ = [  # passage, question, answer
    ("The Otter was a ship of steel, built in 1901.", "was the otter built of steel", True),
    ("Pears grow on trees.", "do pears grow under the ground", False),
    ("A week has seven days in every country of the world.", "does a week have seven days", True),
    ("The well is in the garden.", "is the well in the kitchen", False),
]
WINOGRANDE = [  # sentence, options, answer
    ("The boy gave the soup to the girl because _ was hungry.", ["the girl", "the soup"], "1"),
    ("The book did not fit into the bag, as the _ was too small.", ["book", "bag"], "2"),
    ("Anna asked Maria for help, and _ helped her.", ["Anna", "Maria"], "2"),
    ("_ was sold, since the boat was newer than the car.", ["The boat", "The car"], "2"),
]
WIKITEXT = """ 
 = Otter ( boat ) = 
 
 The Otter was a boat of 1 @,@ 200 tons , built in 1901 at a cost of £ 3 @.@ 5 million . She was the " fastest " of her kind [ citation needed ] ; her crew 's cook , a Mr. N , wrote : ' no soup ' . 
 
 = = Design = = 
 
 The hull was of steel @-@ plated oak { see below } . Was it strong ? It was ! At 30 ° C the deck ( of teak ) was too hot to walk on . 
 
 = = = Engines = = = 
 
 Two engines of N horsepower drove two screws . The ships ' bells were cast in Köln . 
 
 = Pear = 
 
 The pear is a fruit . It grows on trees , and is eaten by people and by wasps . The = sign is no heading , = and this is none either . 
 
 = Empty = 
 
"""


def lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))


def table(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), path, compression="snappy", row_group_size=4)


def pages(text):  # as the data set wikitext_document_level splits the raw file
    ret, out = [], []
    for line in text.split("\n"):
        rline = line.replace("= = =", "===").replace("= =", "==").strip()
        if rline.startswith("= ") and rline.endswith(" ="):
            if "\n".join(ret).strip():
                out.append("\n".join(ret))
            ret = []
        ret.append(line)
    return out + ["\n".join(ret)]


def write_data(folder):
    """The published files; returns, per task, a file for lm_eval."""
    raw, hub = folder / "raw", folder / "hub"
    swag = [{"ind": i, "activity_label": a, "ctx_a": x, "ctx_b": y, "ctx": f"{x} {y}", "split": "val", "split_type": "indomain", "label": l,
             "endings": e, "source_id": f"own~{i}"} for i, (a, x, y, e, l) in enumerate(HELLASWAG)]
    lines(raw / "hellaswag_val.jsonl", swag)
    table(hub / "hellaswag/data/validation-00000-of-00001.parquet", [{**r, "label": str(r["label"])} for r in swag])
    for name, questions in ARC.items():
        lines(raw / f"ARC-{name}-Test.jsonl", [{"id": f"own_{i}", "question": {"stem": q, "choices": [{"text": t, "label": l} for t, l in zip(c, ls)]},
                                               "answerKey": a} for i, (q, ls, c, a) in enumerate(questions)])
        table(hub / f"ai2_arc/ARC-{name}/test-00000-of-00001.parquet",
              [{"id": f"own_{i}", "question": q, "choices": {"text": c, "label": list(ls)}, "answerKey": a} for i, (q, ls, c, a) in enumerate(questions)])
    lines(raw / "piqa/valid.jsonl", [{"goal": g, "sol1": a, "sol2": b} for g, a, b, _ in PIQA])
    (raw / "piqa/valid-labels.lst").write_text("".join(f"{l}\n" for *_, l in PIQA))
    table(hub / "piqa/plain_text/validation-00000-of-00001.parquet", [{"goal": g, "sol1": a, "sol2": b, "label": l} for g, a, b, l in PIQA])
    lines(raw / "lambada_test.jsonl", [{"text": t} for t in LAMBADA])
    table(hub / "lambada_openai/default/test-00000-of-00001.parquet", [{"text": t} for t in LAMBADA])
    (raw / "wiki.test.raw").write_text(WIKITEXT)
    rows = [{"text": "" if r == " " else r + "\n"} for r in WIKITEXT.split("\n")[:-1]]  # Salesforce/wikitext
    table(hub / "wikitext/wikitext-2-raw-v1/test-00000-of-00001.parquet", rows)
    books = [{"id": f"own_{i}", "question_stem": q, "choices": {"text": c, "label": list("ABCD")}, "answerKey": a} for i, (q, c, a) in enumerate(OPENBOOK)]
    lines(raw / "openbookqa/test.jsonl", [{"id": r["id"], "question": {"stem": r["question_stem"], "choices": [
        {"text": t, "label": l} for t, l in zip(r["choices"]["text"], "ABCD")]}, "answerKey": r["answerKey"]} for r in books])
    table(hub / "openbookqa/main/test-00000-of-00001.parquet", books)
    science = [{"question": q, **{f"distractor{k + 1}": w for k, w in enumerate(ws)}, "correct_answer": a, "support": p} for p, q, ws, a in SCIQ]
    lines(raw / "sciq/test.jsonl", science)
    table(hub / "sciq/data/test-00000-of-00001.parquet", science)
    lines(raw / "boolq/dev.jsonl", [{"question": q, "title": "own", "answer": a, "passage": p} for p, q, a in BOOLQ])
    table(hub / "boolq/boolq/validation-00000-of-00001.parquet", [{"question": q, "passage": p, "idx": i, "label": int(a)} for i, (p, q, a) in enumerate(BOOLQ)])
    gaps = [{"sentence": s, "option1": o[0], "option2": o[1], "answer": a} for s, o, a in WINOGRANDE]
    lines(raw / "winogrande/dev.jsonl", [{"qID": f"own-{i}", **r} for i, r in enumerate(gaps)])
    table(hub / "winogrande/winogrande_xl/validation-00000-of-00001.parquet", gaps)
    lines(hub / "documents.jsonl", [{"page": p} for p in pages(WIKITEXT)])
    return {"hellaswag": ("validation", hub / "hellaswag/data/validation-00000-of-00001.parquet"),
            "arc_easy": ("test", hub / "ai2_arc/ARC-Easy/test-00000-of-00001.parquet"),
            "arc_challenge": ("test", hub / "ai2_arc/ARC-Challenge/test-00000-of-00001.parquet"),
            "piqa": ("validation", hub / "piqa/plain_text/validation-00000-of-00001.parquet"),
            "lambada_openai": ("test", hub / "lambada_openai/default/test-00000-of-00001.parquet"),
            "openbookqa": ("test", hub / "openbookqa/main/test-00000-of-00001.parquet"),
            "sciq": ("test", hub / "sciq/data/test-00000-of-00001.parquet"),
            "boolq": ("validation", hub / "boolq/boolq/validation-00000-of-00001.parquet"),
            "winogrande": ("validation", hub / "winogrande/winogrande_xl/validation-00000-of-00001.parquet"),
            "wikitext": ("test", hub / "documents.jsonl")}


def write_examples(folder):
    """Training data beside that of the tasks of SHOTS: its questions again and again, each a little different."""
    def more(name, out, change):
        records = [json.loads(l) for l in (folder / "raw" / name).read_text().splitlines()]
        lines(folder / "raw" / out, [change(dict(records[i % len(records)]), i) for i in range(TRAIN)])
    more("hellaswag_val.jsonl", "hellaswag_train.jsonl", lambda r, i: {**r, "activity_label": f"{i}"})
    more("ARC-Easy-Test.jsonl", "ARC-Easy-Train.jsonl", lambda r, i: {**r, "question": {**r["question"], "stem": f"{i}?"}})
    more("winogrande/dev.jsonl", "winogrande/train_xl.jsonl", lambda r, i: {**r, "sentence": f"{i} _ {i}"})


def shot_file(folder, name):
    """A file for lm_eval with the examples: in Hugging Face's form."""
    raw = folder / "raw" / {"hellaswag": "hellaswag_train.jsonl", "arc_easy": "ARC-Easy-Train.jsonl", "winogrande": "winogrande/train_xl.jsonl"}[name]
    records = [json.loads(l) for l in raw.read_text().splitlines()]
    if name == "arc_easy":
        records = [{"question": r["question"]["stem"], "answerKey": r["answerKey"], "choices": {"text": [c["text"] for c in r["question"]["choices"]],
                    "label": [c["label"] for c in r["question"]["choices"]]}} for r in records]
    if name == "hellaswag":
        records = [{**r, "label": str(r["label"])} for r in records]
    records = [{k: v for k, v in r.items() if k != "qID"} for r in records]
    path = folder / f"examples_{name}.parquet"
    table(path, records)
    return path


def texts():
    yield from (f"{a}: {x} {y} {e[l]}" for a, x, y, e, l in HELLASWAG)
    yield from (f"Question: {q}\nAnswer: {c[ls.index(a)]}" for set_ in ARC.values() for q, ls, c, a in set_)
    yield from (f"Question: {g}\nAnswer: {b if l else a}" for g, a, b, l in PIQA)
    yield from LAMBADA
    yield from (f"{q} {c['ABCD'.index(a.strip())]}" for q, c, a in OPENBOOK)
    yield from (f"{p}\nQuestion: {q}\nAnswer: {a}" for p, q, _, a in SCIQ)
    yield from (s.replace("_", o[int(a) - 1]) for s, o, a in WINOGRANDE)
    yield from pages(WIKITEXT)


def make_tokenizer(name, folder):
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = tokenizers.decoders.ByteLevel()
    special = ["<|endoftext|>"] if name == "gpt2" else ["<s>", "</s>"]
    t.train_from_iterator(texts(), tokenizers.trainers.BpeTrainer(
        vocab_size=384, special_tokens=special, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if name == "llama":  # puts <s> before a text
        t.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=t, bos_token=special[0], eos_token=special[-1])
    fast.save_pretrained(folder)
    return fast


def make_model(name, tokenizer, folder):
    """Trained for a moment, so that it has something to say; its weights are exact in bf16."""
    torch.manual_seed(5)
    if name == "gpt2":
        config = transformers.GPT2Config(vocab_size=384, n_positions=WINDOW, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
                                         resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
        model = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(vocab_size=384, max_position_embeddings=WINDOW, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                          num_attention_heads=4, num_key_value_heads=2, bos_token_id=0, eos_token_id=1, tie_word_embeddings=False)
        model = transformers.LlamaForCausalLM(config)
    ids = [torch.tensor(tokenizer.encode(t) + [tokenizer.eos_token_id])[:WINDOW] for t in texts()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0)
    for step in range(STEPS):
        batch = [ids[(step * 4 + i) % len(ids)] for i in range(4)]
        loss = sum(model(x[None], labels=x[None]).loss for x in batch) / 4
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(name, "loss", float(loss))
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)  # of no use here


def described(name):  # the task as lm_eval has it
    path = next(p for p in (pathlib.Path(lm_eval.__file__).parent / "tasks").rglob("*.yaml") if f"\ntask: {name}\n" in "\n" + p.read_text())
    config = load_yaml(path, resolve_func=True)
    return {k: v for k, v in config.items() if k not in ("tag", "group")}


def evaluate(folder, data, shots={}):
    model = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=3, max_length=WINDOW)
    tasks = [{**described(name), "dataset_path": "parquet" if path.suffix == ".parquet" else "json", "dataset_name": None,
              "dataset_kwargs": {"data_files": {split: str(path), **({"train": str(shot_file(folder.parent, name))} if name in shots else {})}},
              "training_split": "train" if name in shots else None, "num_fewshot": shots.get(name, 0),
              "validation_split": split if split == "validation" else None, "test_split": split if split == "test" else None}
             for name, (split, path) in data.items()]
    results = simple_evaluate(model=model, tasks=tasks, log_samples=True, bootstrap_iters=1000)
    out = {}
    for name in shots:
        (folder.parent / f"examples_{name}.parquet").unlink()
    for name in data:
        measures = {k.split(",")[0]: v for k, v in results["results"][name].items() if k.endswith(",none")}
        records = [{"loglikelihoods": [r[0] if isinstance(r, (tuple, list)) else r for r in s["filtered_resps"]],
                    **({"greedy": [bool(r[1]) for r in s["filtered_resps"]]} if isinstance(s["filtered_resps"][0], (tuple, list)) else {})}
                   for s in sorted(results["samples"][name], key=lambda s: s["doc_id"])]
        out[name] = {"measures": measures, "records": records}
    return out


def main(folder):
    torch.set_num_threads(1)
    folder = pathlib.Path(folder).resolve()
    data = write_data(folder)
    write_examples(folder)
    expected = {}
    for name in ("gpt2", "llama"):
        make_model(name, make_tokenizer(name, folder / name), folder / name)
        expected[name] = evaluate(folder / name, data)
        for task, n in SHOTS.items():
            expected[name][f"{task} {n}"] = evaluate(folder / name, {task: data[task]}, {task: n})[task]
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
