#!/usr/bin/env python3
"""Measure what a model reads of rendered words in several scripts: the percentage read right, and
how many of the letters it knows.

Usage: python benchmarks/scripts.py strhub-small-multi strhub-small --fonts fonts/ --count 150

Each script has a few common words, rendered many times in the fonts that have their letters. A word
counts if it is read exactly, including its case. Rendered words are easier than photographs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from strhub import Recognizer, load
from strhub.data.synth.render import WordRenderer
from strhub.evaluation.results.intervals import wilson

WORDS = {
    "English": (
        "water street school market open exit coffee hotel bread city garden light night "
        "summer river bridge Monday people window doctor"
    ),
    "French, Spanish, Portuguese": (
        "été forêt garçon hôtel théâtre où déjà café señor mañana corazón años jardín "
        "coração maçã pão irmã avô ônibus açúcar"
    ),
    "German, Swedish, Danish": (
        "Straße Grüße schön Übung Mädchen Fußgänger Öl weiß över från åka språk älska "
        "hjärta rød børn smør gård æble køkken"
    ),
    "Polish, Czech, Hungarian": (
        "żółty święto dziękuję łódź źródło ćma młody příliš kůň žena škola děkuji čaj "
        "řeka őrült tűz kérem zöld úszó fűszer"
    ),
    "Turkish, Romanian, Latvian": (
        "güneş çiçek ağaç ışık öğle şehir kırmızı büyük İstanbul yağmur știu țară pâine "
        "școală înger māja ūdens ēdiens šodien žurka"
    ),
    "Vietnamese": (
        "nước đường trường chợ phở bánh người việt sách đẹp tiếng học cảm biển mưa ngôi "
        "mùa điện thuốc gỗ"
    ),
    "Greek": (
        "νερό δρόμος σχολείο αγορά έξοδος καφές ψωμί πόλη κήπος φως νύχτα καλοκαίρι "
        "ποτάμι γέφυρα Δευτέρα άνθρωποι παράθυρο γιατρός Αθήνα ήλιος"
    ),
    "Chinese, simplified": (
        "北京 学校 出口 咖啡 酒店 面包 城市 花园 灯光 夜晚 夏天 河流 桥梁 星期一 人民 "
        "窗户 医生 银行 地铁站 超市"
    ),
    "Chinese, traditional": (
        "臺灣 學校 車站 咖啡 飯店 麵包 城市 花園 燈光 夜晚 夏天 河流 橋樑 圖書館 人們 "
        "窗戶 醫生 銀行 捷運 藥局"
    ),
    "Japanese, kana": (
        "ありがとう こんにちは さくら すし おはよう みず ひかり コーヒー ホテル パン "
        "カメラ テレビ ビール レストラン タクシー バス トイレ ラーメン セール オープン"
    ),
    "Japanese, kanji and kana": (
        "東京駅 出口 入口 食べる 学校 美しい 駐車場 営業中 本屋 禁煙 新しい 薬局 病院 "
        "案内所 千円 飲み物 お茶 魚市場 郵便局 大安売り"
    ),
    "Russian (Cyrillic)": (
        "вода улица школа рынок выход кофе хлеб город сад свет ночь лето река мост люди "
        "окно врач банк метро аптека"
    ),
    "Korean (Hangul)": (
        "물 거리 학교 시장 출구 커피 호텔 빵 도시 정원 빛 밤 여름 강 다리 사람 창문 의사 은행 약국"
    ),
    "Arabic": (
        "ماء شارع مدرسة سوق خروج قهوة فندق خبز مدينة حديقة ضوء ليل صيف نهر جسر ناس نافذة "
        "طبيب بنك صيدلية"
    ),
    "Thai": (
        "น้ำ ถนน โรงเรียน ตลาด ทางออก กาแฟ โรงแรม ขนมปัง เมือง สวน แสง คืน ร้อน แม่น้ำ "
        "สะพาน คน หน้าต่าง หมอ ธนาคาร ยา"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="ids or paths of models")
    parser.add_argument("--fonts", nargs="+", help="font files and folders with the letters")
    parser.add_argument("--count", type=int, default=100, help="images per script")
    parser.add_argument("--difficulty", type=float, default=0.3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    renderer = WordRenderer(fonts=args.fonts, difficulty=args.difficulty)
    readers = {name: Recognizer(name, device="cpu") for name in args.models}
    charsets = {name: set(load(name).hparams["charset_train"]) for name in args.models}
    names = [name.partition("@")[0] for name in args.models]
    print("| words | " + " | ".join(f"{name} | its letters" for name in names) + " |")
    print("| --- " * (2 * len(names) + 1) + "|")
    found: dict[str, dict[str, Any]] = {}
    for script, text in WORDS.items():
        words = [word for word in text.split() if renderer.shelf.fitting(word)]
        if not words:
            print(f"| {script} | " + " | ".join(["no font"] * (2 * len(names))) + " |")
            continue
        texts = [words[number % len(words)] for number in range(args.count)]
        images = [
            renderer(word, np.random.default_rng([7, number])) for number, word in enumerate(texts)
        ]
        cells = []
        for model, reader in readers.items():
            right = sum(
                reading.text == word for reading, word in zip(reader(images), texts, strict=True)
            )
            letters = {letter for word in words for letter in word}
            known = len(letters & charsets[model]) / len(letters)
            fraction, low, high = wilson(right, len(texts))
            found.setdefault(model, {})[script] = {
                "right": right,
                "words": len(texts),
                "letters_known": known,
            }
            cells.append(
                f"{100 * fraction:.0f} [{100 * low:.0f}, {100 * high:.0f}] | {100 * known:.0f}"
            )
        print(f"| {script} | " + " | ".join(cells) + " |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
