"""How each documented command is run by a test: what shortens it, or why it is only parsed.

A new command in a document fails a test until it has a line here.
"""

from __future__ import annotations

from typing import NamedTuple


class Run(NamedTuple):
    """add: words added to the command's own. instead: other words in place of some.

    only_parsed: why it is not run. elsewhere: the test that runs it, where it needs what only that
        one makes.
    """

    add: str = ""
    instead: tuple[tuple[str, str], ...] = ()
    only_parsed: str = ""
    elsewhere: str = ""


INSTALLS = Run(only_parsed="installs packages")
GPU = Run(only_parsed="needs a GPU")
NETWORK = Run(only_parsed="fetches a file")
CLIP = Run(only_parsed="needs CLIP's weights or minutes")
CLIP4STR = Run(only_parsed="needs CLIP4STR's weights; tests/checkpoint/test_clip4str.py has others")
TIMM = Run(only_parsed="needs timm, or fetches a file")
WHEEL = Run(only_parsed="needs the package rapidocr")
CLUSTER = Run(only_parsed="needs a cluster")
MINUTES = Run(only_parsed="takes minutes, and has tests of its own")
SERVES = Run(only_parsed="runs until it is told to end, and has tests of its own")
EXTENDING = Run(elsewhere="tests/test_extending.py")
PLAIN = Run()
PHOTO = Run(instead=(("street.jpg", "demo_images/01.png"),))
SCORED = Run(elsewhere="tests/cli/test_scoring_command.py")
DOCUMENT = Run(elsewhere="tests/cli/test_read_photo.py")
PHOTOS = Run(elsewhere="tests/evaluation/test_photographs.py")
RENDERED = "dataset=rendered data.render.words=8 data.render.validation=4 data.render.style=simple "
SHORT = (
    "trainer.max_epochs=1 trainer.accelerator=cpu trainer.devices=1 trainer.limit_train_batches=1 "
    "trainer.limit_val_batches=1 +trainer.num_sanity_val_steps=0 "
    "+trainer.enable_progress_bar=false data.num_workers=0 "
    "model.batch_size=4 callbacks.summary=null callbacks.samples=null callbacks.best=null "
    "callbacks.last=null "
)
KEPT = SHORT.replace("callbacks.last=null ", "")  # of a run that another command resumes from
TRAIN = Run(SHORT)
RENDERING = Run(SHORT + "data.render.words=8 data.render.validation=4 data.render.style=simple")
FAST_BENCH = Run("repeats=2 warm_up=0")

TABLE = {
    "make read": INSTALLS,
    "make test": INSTALLS,
    "make torch-cpu": INSTALLS,
    'pip install -r requirements/core.cpu.txt -e ".[train,test]"': INSTALLS,
    "pip install -r requirements/read.txt -e .": INSTALLS,
    "pip install dist/strhub-*.whl": INSTALLS,
    "strhub-read --images photos/of/words": Run(instead=(("photos/of/words", "demo_images"),)),
    'pip install -e ".[tune]"': INSTALLS,
    'pip install -e ".[bulk]"': INSTALLS,
    'pip install -e ".[bulk,tune]"': INSTALLS,
    "pip install 'strhub[export]'": INSTALLS,
    "pip install 'strhub[hub]'": INSTALLS,
    "pip install 'strhub[serve]'": INSTALLS,
    "strhub-serve": SERVES,
    "pip install 'strhub[demo]'": INSTALLS,
    "strhub-demo": SERVES,
    "strhub-demo strhub-small strhub-tiny mine=outputs/mine/last.ckpt --open": SERVES,
    "strhub-serve strhub-small strhub-tiny mine=outputs/mine/last.ckpt --port 9000": SERVES,
    "strhub-serve --host 0.0.0.0 --api_key_file /run/secrets/strhub": SERVES,
    # Reading
    "./read.py --images demo_images/*": PLAIN,
    "./read.py --images demo_images --top_k 3": PLAIN,
    "./read.py --lines --images demo_images/*": PLAIN,
    "./read.py --images demo_images --json": PLAIN,
    "./read.py path/to/last.ckpt --images demo_images/* refine_iters:int=2 decode_ar:bool=false": PLAIN,
    "./read.py pretrained=parseq --images demo_images/*": NETWORK,
    "./read.py clip4str_base16x16_d70bde1f2d.ckpt --images demo_images/*": CLIP4STR,
    "./read.py clip4str_base_6e9fe947ac.pt --images demo_images/* cross_modal:bool=false": CLIP4STR,
    "./read.py --images words/ shards/*.tar --output readings/": Run(
        instead=(("readings/", "readings-1"),)
    ),
    "./read.py --images words/ --output readings/": Run(instead=(("readings/", "readings-2"),)),
    "./read.py --images words/ 'shards/*.tar' table.parquet --output readings/ --engine ray": MINUTES,
    "./read.py --images words/ --output readings/ --engine ray --workers 8": MINUTES,
    "./read.py outputs/mine/last.ckpt --images /data/shards --output /data/readings --engine ray "
    "--address 10.0.0.1:6379 --gpus 0.25 --cpus 2 --batch_size 256": CLUSTER,
    "./read.py outputs/<run> --images demo_images/* refine_iters:int=2 decode_ar:bool=false": PLAIN,
    "./read.py --photo street.jpg --output street.png": PHOTO,
    "./read.py --photo street.jpg --output street.html": PHOTO,
    "./read.py --photo scan.pdf --output searchable.pdf": DOCUMENT,
    "./read.py --photo scan.pdf --output scan.txt": DOCUMENT,
    "./read.py --photo photos/ --output readings/ --engine plain": DOCUMENT,
    "./test.py --photos street/ --html errors.html --results results.jsonl": PHOTOS,
    "./test.py --photos street/ --detection icdar2013": PHOTOS,
    "python benchmarks/photographs.py street/ --peer rapidocr=/path/to/python --minutes 8": MINUTES,
    "python benchmarks/compare.py data/val/IC15 --peer rapidocr=/path/to/python --plot compare.png": MINUTES,
    "python benchmarks/compare.py data/val/IC15 --ours parseq 'parseq, encoder' --letters 25": MINUTES,
    "./read.py --photo photos/ --output read/": Run(instead=(("photos/", "demo_images"),)),
    # Exporting
    "./export.py strhub-tiny words.onnx": PLAIN,
    "./read.py words.onnx --images demo_images": PLAIN,
    "./read.py strhub-tiny --images demo_images/* refine_iters:int=2 decode_ar:bool=false": PLAIN,
    "./export.py outputs/parseq/last.ckpt words.onnx decode_ar:bool=false refine_iters:int=2": PLAIN,
    "./export.py pretrained=parseq words.onnx --precision float16": NETWORK,
    "./export.py strhub-tiny words.onnx --precision int8-static --calibrate images/of/words": PLAIN,
    "./export.py strhub-tiny words.pt2": MINUTES,
    "./export.py strhub-small words.xml": Run(only_parsed="needs OpenVINO"),
    "./export.py strhub-small words.mlpackage --width 320": Run(only_parsed="needs coremltools"),
    "./export.py strhub-small rapidocr.onnx --layout rapidocr": Run(
        elsewhere="tests/export/test_rapidocr.py"
    ),
    "./export.py ppocrv6-small ppocrv6-small.safetensors --precision float16": WHEEL,
    "./export.py strhub-small-multi multi.safetensors --precision float16": WHEEL,
    "./export.py strhub-small-multi multi.onnx --precision float16": WHEEL,
    "./read.py multi.onnx --images demo_images/*": WHEEL,
    # Data
    "strhub-data make images/ data/train/real/shop": PLAIN,
    "strhub-data make photos/labels.csv data/train/real/mine": PLAIN,
    "strhub-data render data/val/drawn --count 1000 --difficulty 0.2:0.8": Run(
        instead=(("1000", "4"),)
    ),
    "strhub-data render data/train/synth/rendered --count 100000": Run(instead=(("100000", "4"),)),
    "strhub-data sheet sheet.png --beside data/train/real --statistics": PLAIN,
    "strhub-data sheet sheet.png --from data/train/real": PLAIN,
    "strhub-data inspect data/train data/test --html report.html": PLAIN,
    "strhub-data filter data/train/real data/train/clean --without data/test --drop_duplicates": PLAIN,
    "strhub-data filter data/train/real clean --min_side 8 --without data/test": PLAIN,
    "strhub-data merge data/train/all data/train/real data/train/clean": PLAIN,
    "strhub-data merge data/train/all data/train/real data/train/synth": Run(
        instead=(("data/train/all", "all"),)
    ),
    "strhub-data split data/train/real data/train/part data/val/part --fraction 0.9 --by label": PLAIN,
    "strhub-data split clean data/train/real/mine data/val/mine --fraction 0.95": Run(
        instead=(
            ("data/train/real/mine", "data/train/real/ours"),
            ("data/val/mine", "data/val/ours"),
        )
    ),
    "strhub-data charset data/train/real --output charset.txt": PLAIN,
    "strhub-data shard data/train/real shards/words-%06d.tar": PLAIN,
    # Training
    "./train.py +experiment=parseq-tiny": Run(SHORT + RENDERED),
    "./train.py dataset=rendered data.render.difficulty=[0.2,0.8]": RENDERING,
    "./train.py dataset=rendered 'data.render.texts={corpus: words.txt}' data.render.fonts=fonts/": RENDERING,
    "./train.py data.mixture='{real: 0.5, rendered: 0.5}'": TRAIN,
    "./train.py pretrained=strhub-tiny data.mixture='{rendered: 0.5, real: 0.4, soft: 0.1}'": Run(
        RENDERING.add,
        instead=(
            (
                "data.mixture={rendered: 0.5, real: 0.4, soft: 0.1}",
                "data.mixture={rendered: 0.5, real: 0.5}",
            ),
        ),
    ),
    "strhub-model label data/unlabelled data/train/soft --model strhub-small --readings 5 "
    "--min_confidence 0.3": Run(elsewhere="tests/cli/test_model_label.py"),
    "./train.py charset=94_full dataset=real": TRAIN,
    "./train.py data.root_dir=data data.num_workers=2 data.augment=true": Run(
        SHORT.replace("data.num_workers=0 ", "")
    ),
    "./train.py model.img_size=[32,128] model.max_label_length=25 model.batch_size=384": Run(
        SHORT.replace("model.batch_size=4 ", "")
    ),
    "./train.py trainer.max_epochs=20 trainer.accelerator=gpu trainer.devices=2": GPU,
    "./train.py pretrained=strhub-tiny": TRAIN,
    "./train.py ckpt_path=outputs/<run>/last": Run("trainer.max_epochs=2"),
    "./train.py hydra.run.dir=outputs/mine ckpt_path=last": TRAIN,
    "./train.py logger=wandb": Run(only_parsed="needs an account"),
    "./train.py --help": PLAIN,
    "./train.py debug=one_step": Run("trainer.accelerator=cpu"),
    "./train.py +experiment=parseq-tiny +hardware=gpu": GPU,
    "./train.py +experiment=parseq": TRAIN,
    "./train.py +experiment=vitstr": TRAIN,
    "./train.py +experiment=abinet": TRAIN,
    "./train.py +experiment=tune_abinet-lm data.words=words.txt": Run(
        SHORT.replace("callbacks.samples=null", "").replace("data.num_workers=0 ", "")
    ),
    "./train.py +experiment=svtr-tiny dataset=rendered": RENDERING,
    "./train.py +experiment=svtr-base": RENDERING,
    "./train.py +experiment=parseq-clip-b32 trainer.accelerator=gpu trainer.precision=16": GPU,
    "./train.py model.encoder=clip_vit_b32 data.normalize=clip model.img_size=[224,224]": CLIP,
    "./train.py +experiment=parseq-clip-b32 finetune.freeze_encoder=1000 "
    "model.contrastive.weight=0.1": CLIP,
    "./train.py +experiment=parseq-clip-b16 finetune.lora_rank=8 finetune.recompute=true": CLIP,
    "./train.py model.encoder=timm/vit_base_patch16_siglip_224 "
    "pretrained_encoder=ViT-B-16-SigLIP:webli": TIMM,
    "./train.py model.encoder=timm/fastvit_mci1 pretrained_encoder=MobileCLIP-S1:datacompdr": TIMM,
    "./train.py model.encoder=timm/eva02_base_patch16_clip_224 "
    "pretrained_encoder=EVA02-B-16:merged2b_s8b_b131k": TIMM,
    "./train.py +experiment=parseq-clip-b16 model.img_size=[64,256] "
    "pretrained_encoder=clip.safetensors": CLIP,
    "./train.py +experiment=parseq-clip-b32 model.contrastive.weight=0.1 "
    "model.contrastive.nearest=16 "
    "model.contrastive.own_errors=true model.contrastive.adapter=1024": CLIP,
    "./train.py model.encoder=ppocrv6_small finetune.freeze_encoder=true": TRAIN,
    "./train.py +experiment=strhub-small finetune.freeze_encoder=true "
    "finetune.cache_features=outputs/features finetune.cache_views=4 "
    "finetune.frozen_half=true": MINUTES,
    "./train.py pretrained=strhub-tiny model.encoder=ppocrv6_small "
    "finetune.freeze_encoder=true": MINUTES,
    "./train.py model.encoder=ppocrv6_small optimizer=relative_adam model.lr=2e-3": MINUTES,
    'pip install -e ".[timm]"': INSTALLS,
    "./train.py model.encoder=timm/resnet18": TIMM,
    "./train.py model.encoder=timm/vit_tiny_patch16_224 model.img_size=[64,256] "
    "pretrained_encoder=timm": TIMM,
    "./train.py pretrained=strhub-tiny charset=36_lowercase model.max_label_length=40 "
    "adapt.variants=true": TRAIN,
    "./train.py +experiment=finetune hydra.run.dir=outputs/prices data.val_fraction=0.2 "
    "model.charset_train=@data/train/real": Run(
        "trainer.max_steps=2 trainer.val_check_interval=1 trainer.accelerator=cpu "
        "+trainer.enable_progress_bar=false callbacks.summary=null callbacks.samples=null"
    ),
    "./read.py outputs/prices --images data/test/prices": Run(
        instead=(("data/test/prices", "demo_images"),)
    ),
    "./test.py outputs/prices --sets data/test/prices --charset own": Run(
        instead=(("data/test/prices", "data/test/IIIT5k"),)
    ),
    "./export.py outputs/prices prices.onnx": PLAIN,
    "strhub-data inspect data/train/real": PLAIN,
    "strhub-data sheet sheet.png --from data/train/real --labels": PLAIN,
    "strhub-data charset data/train/real": PLAIN,
    "./train.py +experiment=german": RENDERING,
    "./train.py +experiment=meter": RENDERING,
    "./train.py pretrained=strhub-tiny charset=36_lowercase data.root_dir=data": TRAIN,
    "./train.py pretrained=outputs/<run> model.charset_train=0123456789.-": TRAIN,
    "./train.py pretrained=last.ckpt model.max_label_length=40 model.img_size=[32,256]": TRAIN,
    "./train.py 'pretrained=hf://owner/name/model.safetensors@v1#sha256=<64 digits>'": NETWORK,
    "./train.py +experiment=parseq-tiny hydra.run.dir=outputs/first ckpt_path=last": Run(
        SHORT + RENDERED
    ),
    "./train.py trainer.devices=2 trainer.accelerator=gpu": GPU,
    "./train.py trainer.devices=2 trainer.accelerator=cpu trainer.strategy=ddp": MINUTES,
    "./train.py --config-dir outputs/tune/parseq/<time> +experiment=best": TRAIN,
    "./train.py +experiment=svtr-tiny dataset=rendered 'data.render.texts={lengths: [5, 60]}' "
    "model.max_label_length=60": RENDERING,
    "./train.py +experiment=svtr-long 'data.render.texts={lengths: [1, 3]}' model.batch_size=64 "
    "model.lr=0.024 "
    "data.render.words=60000 hydra.run.dir=outputs/svtr-letters": Run(
        KEPT + "data.render.validation=4 data.render.style=simple",
        (("data.render.words=60000", "data.render.words=8"),),
    ),
    "./train.py +experiment=svtr-long pretrained=outputs/svtr-letters/checkpoints/last.ckpt "
    "hydra.run.dir=outputs/svtr-long": RENDERING,
    "torchrun --nproc_per_node=2 --max_restarts=5 train.py trainer.devices=2 trainer.strategy=ddp "
    "hydra.run.dir=outputs/first ckpt_path=last": MINUTES,
    "sbatch docs/slurm.sh +experiment=parseq dataset=real": CLUSTER,
    # Evaluating, explaining
    "pip install 'strhub[eval]'": INSTALLS,
    "./test.py outputs/<run>": PLAIN,
    "./test.py strhub-small --reader --sets data/val/IC15 --output report/": SCORED,
    "./test.py strhub-small --reader --compare words.onnx other=predictions.tsv --output report/": SCORED,
    "./test.py --predictions predictions.tsv --sets data/val/IC15": SCORED,
    "strhub-data suspects data/train/real suspects.html": SCORED,
    "strhub-data correct data/train/real corrections.tsv data/train/corrected": SCORED,
    "./train.py callbacks.report.write=true": TRAIN,
    "./test.py pretrained=strhub-tiny --cased --punctuation": PLAIN,
    "./test.py pretrained=strhub-tiny refine_iters:int=2 decode_ar:bool=false --data_root data "
    "--batch_size 64": PLAIN,
    "strhub-explain attention strhub-tiny --images demo_images/* --output attention/": PLAIN,
    "strhub-explain attention outputs/<run> --images demo_images/* --output attention/": PLAIN,
    "strhub-explain retrieve outputs/<run>/checkpoints/last.ckpt --images demo_images/* "
    "--vocabulary words.txt --top 5": CLIP,
    # Measuring
    "./bench.py model=parseq model.decode_ar=false model.refine_iters=3": FAST_BENCH,
    "./bench.py model=parseq model.decode_ar=false model.refine_iters=3 +range=true": FAST_BENCH,
    "./bench.py pretrained=strhub-tiny formats=[torch,onnx,onnx-int8] batch_size=[1,32] "
    "images=demo_images plot=bench.png": FAST_BENCH,
    "./bench.py pretrained=strhub-tiny models=[fresh:parseq-tiny] json=bench.json": FAST_BENCH,
    "./bench.py dataset=rendered training=true pipeline=true": Run(
        "repeats=2 warm_up=0 training_batch=2 pipeline_batches=1 model.batch_size=2 "
        "data.num_workers=0 data.render.words=8"
    ),
    "python benchmarks/cold_start.py": MINUTES,
    "python benchmarks/readers.py data/val --published PP-OCRv6_rec_small.onnx --json "
    "readers.json": MINUTES,
    "python benchmarks/scripts.py strhub-small-multi strhub-small --fonts fonts/ "
    "--count 150": WHEEL,
    "python benchmarks/end_to_end.py demo_images": MINUTES,
    "python benchmarks/decoding_cost.py": MINUTES,
    "python benchmarks/rendering.py": MINUTES,
    "python benchmarks/augmentation.py": MINUTES,
    "python benchmarks/scaling.py --json scaling.json --plot scaling.png": MINUTES,
    "python benchmarks/killed_training.py driver": MINUTES,
    "python benchmarks/killed_training.py driver --moments 10": MINUTES,
    "python benchmarks/bulk_reading.py killed --words 20000": MINUTES,
    "python benchmarks/clip_ablation.py outputs/clip_ablation --data_root data": MINUTES,
    "python benchmarks/clip_ablation_results.py outputs/clip_ablation --collect "
    "docs/clip-ablation.json": MINUTES,
    "python benchmarks/clip_ablation_results.py docs/clip-ablation.json --figures "
    "docs/figures": MINUTES,
    "python benchmarks/clip_small.py outputs/clip_small --data_root data": MINUTES,
    "python benchmarks/clip_ablation_vit.py outputs/clip_vit --clip outputs/clip_small "
    "--data_root data": MINUTES,
    "python benchmarks/clip_ablation_results.py docs/clip-ablation-vit.json": MINUTES,
    "python benchmarks/long_lines.py outputs/svtr-long/checkpoints/last.ckpt --lengths 5-25 26-60 "
    "61-90": MINUTES,
    # A model of one's own
    "./train.py model=glance dataset=rendered": EXTENDING,
    "./test.py outputs/<run>/checkpoints/last.ckpt": EXTENDING,
    "./read.py outputs/<run>/checkpoints/last.ckpt --images demo_images/*": EXTENDING,
    "./export.py outputs/<run>/checkpoints/last.ckpt glance.onnx": EXTENDING,
    "./bench.py model=glance": EXTENDING,
    "./train.py model.encoder=stripes dataset=rendered model.name=stripes": EXTENDING,
    # Tuning and making
    "./tune.py tune.num_samples=20": MINUTES,
    "./tune.py +experiment=tune_abinet-lm tune.num_samples=20": MINUTES,
    "./tune.py 'tune.space={model.dropout: {uniform: [0.0, 0.3]}, model.perm_num: {choice: [2, 6, "
    "12]}}' "
    "tune.max_steps=2000": MINUTES,
    "./tune.py tune.resources_per_trial.gpu=0.25 trainer.precision=bf16-mixed": GPU,
    "./tune.py tune.address=10.0.0.1:6379": CLUSTER,
    "./tune.py tune.resume_dir=outputs/tune/parseq/<time>": MINUTES,
    "strhub-model make strhub-tiny --data_root data": MINUTES,
    "strhub-model make strhub-tiny --data_root data --minutes 10": MINUTES,
    "strhub-model make strhub-tiny --data_root data +hardware=gpu model.lr=2.5e-3": GPU,
    "strhub-model calibrate mine.safetensors --data_root data --sets val/mine": Run(
        only_parsed="changes a model's file, and has tests of its own"
    ),
    "tools/embed_weights.py outputs/strhub-tiny/strhub-tiny.safetensors": Run(
        only_parsed="replaces a file of the package"
    ),
}
