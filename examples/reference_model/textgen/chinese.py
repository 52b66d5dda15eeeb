"""The part of the training text that is in Chinese: counting, sorting, extracting, wrapping."""

from __future__ import annotations

import random

from .layout import Item
from .words import held_out, pseudo_word

PEOPLE = "小明 小红 小王 小李 小花 小马 小林 小田 大山 大海".split()
THINGS = "苹果 本子 书 花 鱼 鸟 球 石头 水果 衣服 瓜 米 灯 笔 车".split()
PLACES = "北京 上海 南京 天水 西安 海口 中山 长春 大同 金华".split()
DAYS = "星期一 星期二 星期三 星期四 星期五 星期六 今天 明天".split()
CLASSES = {
    "动物": "马 牛 羊 狗 鸟 鱼 虎 鸡 鼠".split(),
    "颜色": "红 白 黑 黄 青 蓝".split(),
    "水果": "苹果 西瓜 桃子 李子 木瓜".split(),
    "地方": PLACES,
    "人": PEOPLE,
    "时间": DAYS,
}
SENTENCES = (
    "我喜欢{w}",
    "这是{w}",
    "他说{w}很好",
    "你看{w}",
    "{w}",
    "有人说到{w}",
    "我们都知道{w}",
    "她不喜欢{w}",
    "那里有{w}吗",
)
LABELS = "甲 乙 丙 上 中 下 左 右 大 小 好 不好 天 地 水 火 木 金 土".split()
EVENTS = (
    "{n}{d}在{p}买了{k}个{t}。",
    "{d}，{n}在{p}有{k}个{t}。",
    "{n}在{p}，{d}看到{k}个{t}。",
    "在{p}，{n}{d}卖了{k}个{t}。",
)


def _count(rng: random.Random) -> Item:
    """A word problem of one or two steps."""
    while True:
        name, thing, have = rng.choice(PEOPLE), rng.choice(THINGS), rng.randint(2, 30)
        text, route = f"{name}有{have}个{thing}。", []
        for _ in range(rng.randint(1, 2)):
            number = rng.randint(1, 20)
            if rng.random() < 0.5 or number >= have:
                text += rng.choice((f"又买了{number}个。", f"又得到{number}个。"))
                route.append(f"{have}+{number}={have + number}")
                have += number
            else:
                text += rng.choice((f"卖了{number}个。", f"不见了{number}个。"))
                route.append(f"{have}-{number}={have - number}")
                have -= number
        text += f"{name}现在有几个{thing}？"
        if not held_out(text):
            return Item(text, "，".join(route) + "|" + str(have))


def event(rng: random.Random, *, training: bool = True) -> tuple[str, dict[str, str]]:
    """A sentence that tells who did what, when, where."""
    while True:
        values = {
            "n": rng.choice(PEOPLE),
            "d": rng.choice(DAYS),
            "p": rng.choice(PLACES),
            "k": str(rng.randint(2, 99)),
            "t": rng.choice(THINGS),
        }
        text = rng.choice(EVENTS).format(**values)
        if held_out(text) is not training:
            return text, values


def chinese_items(rng: random.Random, count: int) -> list[Item]:
    """Writes the items of one document."""
    kind = rng.random()
    if kind < 0.35:
        reasoned, (left, right) = (
            rng.random() < 0.5,
            rng.choice((("答案是", "。"), ("", ""), ("一共", "个"), ("答：", ""), ("得", "。"))),
        )
        out = []
        for _ in range(count):
            item = _count(rng)
            route, answer = item.answer.split("|")
            out.append(Item(item.question, (route + "。" if reasoned else "") + left + answer + right))
        return out
    if kind < 0.65:
        classes = rng.sample(list(CLASSES), rng.randint(2, 4))
        names = rng.sample(LABELS, len(classes)) if rng.random() < 0.6 else [pseudo_word(rng) for _ in classes]
        return [
            Item(rng.choice(SENTENCES).format(w=rng.choice(CLASSES[classes[i]])), names[i])
            for i in (rng.randrange(len(classes)) for _ in range(count))
        ]
    if kind < 0.9:
        form = rng.choice(("{0}", "{0}", "{0}，{1}", "{1}：{0}", "{0}（{1}）", "{0}/{1}"))
        parts = rng.sample("ndpkt", 2)
        events = [event(rng) for _ in range(count)]
        return [Item(text, form.format(*(values[p] for p in parts))) for text, values in events]
    left, right = rng.choice((("「", "」"), ("（", "）"), ("【", "】"), ("", "吗？"), ("不", ""), ("", "。")))
    texts = ["".join(rng.sample(THINGS + PLACES, rng.randint(1, 3))) for _ in range(count)]
    return [Item(text, left + text + right) for text in texts]
