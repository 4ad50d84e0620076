#!/usr/bin/env python3
"""Draws a small set of flower pictures, five kinds, so that the quickstart and the tests need nothing from outside.

make_flowers.py DIR [--count N] [--seed S]: DIR gets one folder a kind, each with N JPEG pictures. The same seed draws
the same pictures. Kinds differ in petals, heart and shape; colour, size, angle, place, background, light and noise
vary, so that no kind is known by its colour alone.
"""

import argparse
import math
import os
import pathlib
import random
import shutil
import tempfile

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

SCALE = 2  # drawn larger and shrunk, which smooths the edges

GREENS = [(58, 110, 52), (84, 130, 60), (40, 84, 48), (110, 140, 80), (72, 98, 90)]
SKIES = [(150, 180, 215), (190, 200, 205), (120, 140, 160), (205, 195, 170), (90, 100, 95)]


def vary(rng, colour, by=22):
    return tuple(max(0, min(255, channel + rng.randint(-by, by))) for channel in colour)


def background(rng, size):
    """A gradient with blurred leaves and lights."""
    top, bottom = vary(rng, rng.choice(SKIES + GREENS)), vary(rng, rng.choice(GREENS))
    strip = Image.new("RGB", (1, 2))
    strip.putpixel((0, 0), top)
    strip.putpixel((0, 1), bottom)
    picture = strip.resize(size, Image.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(8, 22)):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0.04, 0.16) * size[0]
        draw.ellipse([x - r, y - r * 0.6, x + r, y + r * 0.6], fill=vary(rng, rng.choice(GREENS + SKIES)))
    return picture.filter(ImageFilter.GaussianBlur(size[0] * rng.uniform(0.01, 0.03)))


def petal(draw, x, y, angle, length, width, colour, pointed=False):
    """An ellipse, or a leaf with two pointed ends, that leaves (x, y) at an angle."""
    outline = []
    for i in range(25):
        t = math.pi * 2 * i / 24
        along = (1 - math.cos(t)) / 2 * length
        across = math.sin(t) * width / 2
        if pointed:
            across *= abs(math.sin(t)) ** 0.8
        outline.append((x + along * math.cos(angle) - across * math.sin(angle),
                        y + along * math.sin(angle) + across * math.cos(angle)))
    draw.polygon(outline, fill=colour, outline=tuple(c * 4 // 5 for c in colour))


def disc(draw, x, y, r, colour):
    draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)


def daisy(rng, draw, x, y, r, turn):
    colour = vary(rng, rng.choice([(245, 245, 240), (240, 215, 230), (250, 240, 200)]), 10)
    count = rng.randint(13, 20)
    for i in range(count):
        petal(draw, x, y, turn + math.tau * i / count, r, r * 0.24, colour)
    disc(draw, x, y, r * rng.uniform(0.24, 0.32), vary(rng, (240, 195, 40)))


def dandelion(rng, draw, x, y, r, turn):
    colour = vary(rng, rng.choice([(250, 205, 30), (225, 225, 215)]))
    for ring in (1.0, 0.8, 0.6, 0.4):
        shade = tuple(int(c * (0.72 + 0.28 * (1.2 - ring))) for c in colour)
        count = int(46 * ring) + 8
        for i in range(count):
            petal(draw, x, y, turn + ring + math.tau * i / count, r * ring * rng.uniform(0.9, 1.05), r * 0.07, shade)


def rose(rng, draw, x, y, r, turn):
    colour = vary(rng, rng.choice([(190, 20, 45), (235, 130, 150), (245, 235, 225), (240, 190, 60)]))
    for ring in range(6):
        reach = r * (1 - ring * 0.15)
        shade = tuple(int(c * (0.62 + 0.38 * (1 - ring / 6)) * rng.uniform(0.92, 1.0)) for c in colour)
        for i in range(5):
            angle = turn + ring * 0.7 + math.tau * i / 5
            disc(draw, x + reach * 0.45 * math.cos(angle), y + reach * 0.45 * math.sin(angle), reach * 0.52,
                 tuple(c * 3 // 4 for c in shade))
            disc(draw, x + reach * 0.42 * math.cos(angle), y + reach * 0.42 * math.sin(angle), reach * 0.48, shade)


def sunflower(rng, draw, x, y, r, turn):
    colour = vary(rng, rng.choice([(250, 190, 20), (240, 150, 20), (250, 220, 60)]))
    count = rng.randint(16, 24)
    for layer in (1.0, 0.88):
        for i in range(count):
            petal(draw, x, y, turn + layer * 3 + math.tau * i / count, r * layer, r * 0.3,
                  tuple(int(c * layer) for c in colour), pointed=True)
    heart = rng.uniform(0.42, 0.52) * r
    disc(draw, x, y, heart, vary(rng, (70, 42, 20), 14))
    for i in range(60):
        angle, reach = i * 2.39996, heart * math.sqrt(i / 60)
        disc(draw, x + reach * math.cos(angle), y + reach * math.sin(angle), r * 0.02, (115, 78, 40))


def tulip(rng, draw, x, y, r, turn):
    colour = vary(rng, rng.choice([(215, 40, 50), (240, 200, 50), (200, 90, 170), (245, 150, 60), (240, 235, 235)]))
    up = -math.pi / 2 + math.sin(turn) * 0.35
    foot = (x - math.cos(up) * r * 0.7, y - math.sin(up) * r * 0.7)
    for lean, shade in ((-0.42, 0.8), (0.42, 0.8), (-0.2, 0.92), (0.2, 0.92), (0.0, 1.0)):
        petal(draw, *foot, up + lean, r * 1.6, r * 0.75, tuple(int(c * shade) for c in colour), pointed=True)


KINDS = {"daisy": daisy, "dandelion": dandelion, "rose": rose, "sunflower": sunflower, "tulip": tulip}


def draw_flower(kind, rng):
    width, height = rng.choice([(160, 120), (120, 160), (144, 144), (192, 128)])
    size = (width * SCALE, height * SCALE)
    picture = background(rng, size)
    draw = ImageDraw.Draw(picture)
    r = min(size) * rng.uniform(0.24, 0.44)
    x, y = size[0] * rng.uniform(0.35, 0.65), size[1] * rng.uniform(0.35, 0.6)
    stem = rng.uniform(-0.2, 0.2) * size[0]
    draw.line([(x, y), (x + stem, size[1])], fill=vary(rng, (60, 120, 50)), width=max(3, int(r * 0.1)))
    petal(draw, x + stem * 0.7, size[1] * 0.95, rng.uniform(-2.6, -0.5), r, r * 0.35, vary(rng, (70, 130, 60)), True)
    KINDS[kind](rng, draw, x, y, r, rng.uniform(0, math.tau))
    picture = picture.rotate(rng.uniform(-12, 12), Image.BICUBIC, fillcolor=vary(rng, rng.choice(GREENS)))
    picture = picture.resize((width, height), Image.LANCZOS)
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.7, 1.2))
    picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(0.75, 1.2))
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    noise = Image.frombytes("L", (width, height), rng.randbytes(width * height)).convert("RGB")
    return Image.blend(picture, noise, rng.uniform(0.0, 0.12))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=120, help="pictures of each kind")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.count < 1:
        parser.error("--count: at least 1")
    if options.directory.exists():
        parser.error(f"{options.directory} exists already")
    # Drawn beside its place and moved there at the end: an interrupted run leaves no half set.
    options.directory.parent.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix=".flowers-", dir=options.directory.parent))
    try:
        for kind in KINDS:
            (work / kind).mkdir()
            for number in range(options.count):
                picture = draw_flower(kind, random.Random(f"{options.seed}/{kind}/{number}"))
                picture.save(work / kind / f"{kind}_{number:04}.jpg", quality=88)
        os.chmod(work, 0o755)
        work.rename(options.directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
