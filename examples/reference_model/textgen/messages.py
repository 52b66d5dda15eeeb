"""Short messages to a firm's help desk, by topic."""

from __future__ import annotations

import random

from .words import NAMES, THINGS

TOPICS: dict[str, tuple[str, ...]] = {
    "delivery": ("where is my parcel", "my {t} have not arrived", "the package is {d} days late", "when will order {k} be delivered", "the courier left my {t} in the rain", "tracking for order {k} does not move"),
    "refund": ("I want my money back for the {t}", "please refund order {k}", "when do I get the refund of {d} dollars", "the {t} were returned, where is my refund", "I sent the {t} back and still wait for my money"),
    "password": ("I forgot my password", "I cannot log in", "my account is locked", "how do I reset my password", "the login page rejects me", "please unlock the account of {n}"),
    "invoice": ("I need an invoice for order {k}", "the invoice shows {d} dollars too much", "please send the bill to {n}", "the tax on my invoice is wrong", "I was billed twice for the {t}"),
    "crash": ("the app crashes when I open it", "the program freezes on start", "an error appears on the screen", "the app stops after {d} minutes", "error {k} appears again and again", "the update broke the app"),
    "cancel": ("please cancel my order {k}", "I want to end my subscription", "stop my membership", "I no longer need the {t}, please cancel", "{n} wants to cancel the contract"),
    "hours": ("when do you open", "are you open on Sunday", "what are your opening hours", "how long is the shop open today", "is the store closed at {d}"),
    "damage": ("the {t} arrived broken", "the box was torn and the {t} are damaged", "my {t} have scratches", "half of the {t} are cracked", "one of the {t} is in pieces"),
    "stock": ("do you have {t} in stock", "when are the {t} available again", "are there {d} {t} left", "is the {c} model sold out", "can I still order {t}"),
    "address": ("I moved to another street", "please change my address", "my new address is {d} Park Road", "update the delivery address of {n}", "I live in another town now"),
    "praise": ("thank you for the quick help", "great service, thanks", "{n} was very friendly", "I love the {t}", "well done, the best shop ever"),
    "discount": ("is there a discount for {d} {t}", "my coupon {k} does not work", "do students pay less", "can I get a better price for the {t}", "the voucher was not accepted"),
    "warranty": ("how long is the warranty", "is the repair covered by the guarantee", "the guarantee ended {d} days ago", "does the warranty cover the {t}", "I need the warranty papers"),
    "career": ("are you hiring", "I want to apply for a job", "please find my resume attached", "do you offer jobs for students", "{n} wants to work for you"),
    "privacy": ("delete my personal data", "what data do you store about me", "stop sending me e-mails", "who can see my data", "remove {n} from your mailing list"),
    "size": ("the {t} are too small", "I need a larger size", "can I swap the {t} for a smaller size", "the shirt does not fit {n}", "which size fits {n}"),
}  # fmt: skip

STARTS = ("", "", "", "", "hello, ", "hi, ", "please help: ", "good morning, ", "sorry, ", "dear team, ", "hey, ")
ENDS = (
    "",
    "",
    "",
    "",
    " please",
    " thanks",
    " today",
    ", {n} here",
    " as I told {n}",
    " since Monday",
    ", can you help?",
)
COLORS = "red blue green black white".split()


def draw_message(rng: random.Random, topic: str) -> str:
    """Writes one message of a topic of ``TOPICS``."""
    text = rng.choice(STARTS) + rng.choice(TOPICS[topic]) + rng.choice(ENDS)
    return text.format(
        t=rng.choice(THINGS), d=rng.randint(2, 60), k=rng.randint(100, 9999), n=rng.choice(NAMES), c=rng.choice(COLORS)
    )
