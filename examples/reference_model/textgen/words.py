"""Word lists of the training text, and words that it must never contain."""

from __future__ import annotations

import random
import zlib

NAMES = """Tom Ann Ben Mia Leo Eva Max Zoe Sam Ida Joe Amy Dan Kim Jack Jane Mark Lucy Paul Rosa Carl Nina Erik Lena
Omar Sara Ivan Vera Hugo Olga Finn Ella Noah Maya Adam Ruth Alan Gina Peter Clara Simon Julia David Laura Frank Helen
Oscar Paula Bruno Tanya Felix Wendy Kevin Diana Brian Susan Henry Alice Louis Grace Ralph Maria Steve Irene Chris Molly
Ahmed Aisha Chen Mei Ravi Priya Kenji Yuki Pedro Carmen Anton Sonja Lars Ingrid Pablo Lucia Tariq Layla""".split()

HE = frozenset(
    """Tom Ben Leo Max Sam Joe Dan Jack Mark Paul Carl Erik Omar Ivan Hugo Finn Noah Adam Alan Peter Simon David Frank
Oscar Bruno Felix Kevin Brian Henry Louis Ralph Steve Chris Ahmed Chen Ravi Kenji Pedro Anton Lars Pablo Tariq""".split()
)

THINGS = """apples pears oranges plums lemons peaches cherries grapes nuts cookies cakes candies eggs books pens pencils
stamps coins cards marbles balls toys dolls shells stones flowers roses tulips trees boxes bags cups plates spoons keys
shirts hats socks shoes buttons beads stickers photos letters tickets bottles cans jars candles lamps chairs tables
bricks nails screws ropes kites drums bells rings ribbons puzzles magnets crayons brushes maps flags""".split()

CATEGORIES: dict[str, list[str]] = {
    key: text.split()
    for key, text in {
        "animal": "horse cow dog cat sheep goat pig duck hen wolf bear fox lion tiger mouse rabbit deer snake frog eagle owl monkey camel zebra whale",
        "food": "bread rice soup cheese butter pasta salad pizza sausage honey yogurt noodles beans porridge pancake sandwich omelette stew curry pie",
        "color": "red blue green yellow purple brown black white pink grey violet scarlet beige turquoise crimson",
        "country": "France Spain Italy Brazil Japan China India Egypt Kenya Canada Mexico Peru Chile Norway Sweden Poland Greece Turkey Iran Cuba",
        "city": "Paris London Rome Berlin Madrid Tokyo Cairo Lima Oslo Vienna Prague Dublin Boston Chicago Delhi Moscow Athens Lisbon Havana Geneva",
        "job": "doctor nurse teacher lawyer farmer baker pilot driver cook painter writer singer actor judge clerk plumber tailor miner waiter dentist",
        "tool": "hammer saw drill wrench shovel axe rake chisel pliers ladder screwdriver spade broom scissors knife needle crowbar",
        "clothing": "coat jacket dress skirt trousers sweater scarf glove boot belt blouse vest sandal cap tie jeans pyjamas",
        "sport": "football tennis hockey golf boxing rowing skiing swimming rugby cricket judo fencing archery cycling surfing volleyball",
        "body": "arm leg hand foot knee elbow shoulder finger toe nose ear mouth chin neck back stomach ankle wrist",
        "furniture": "sofa desk bed shelf wardrobe stool bench cabinet armchair cupboard drawer mattress bookcase couch",
        "vehicle": "car bus truck train boat ship plane bicycle tram van scooter tractor ferry rocket taxi lorry",
        "instrument": "piano guitar violin flute trumpet harp cello clarinet banjo organ tuba oboe accordion saxophone",
        "plant": "oak pine tulip daisy fern moss ivy cactus lily orchid willow maple birch clover bamboo nettle",
        "drink": "water milk juice tea coffee wine beer lemonade cocoa cider cola whisky soda smoothie",
        "weather": "rain snow wind storm fog hail sunshine thunder frost drizzle cloud blizzard breeze heat",
        "feeling": "happy sad angry afraid proud lonely calm nervous jealous bored cheerful anxious grateful gloomy",
        "metal": "iron gold silver copper tin zinc lead nickel steel bronze aluminium titanium",
        "subject": "history geography physics chemistry biology algebra grammar music economics philosophy geometry",
        "family": "mother father sister brother uncle aunt cousin grandmother grandfather nephew niece daughter son",
        "building": "house school church hotel hospital factory castle tower museum library barn garage theatre palace",
        "fruit": "apple pear orange banana grape cherry plum peach lemon mango melon kiwi fig apricot",
        "vegetable": "carrot potato onion cabbage tomato pepper garlic leek spinach pumpkin celery turnip radish",
        "insect": "ant bee wasp fly beetle moth spider cricket butterfly mosquito flea ladybird termite",
    }.items()
}

ADJECTIVES = """old new small large bright dark quick slow heavy light clean dirty soft hard warm cold sweet bitter round
square tall short wide narrow empty full open quiet loud fresh dry wet smooth rough sharp simple strange famous gentle
lucky modern plain polite proud ripe royal rusty shiny silent steep tiny tough useful wild wooden young""".split()

NOUNS = """river market garden window bridge corner village station engine island kitchen paper pocket mirror basket
blanket bottle button camera carpet ceiling circle cotton desert dinner doctor dragon factory feather forest fountain
garage guitar hammer heaven helmet hotel jacket jungle ladder leather lesson letter magazine machine marble message
minute money morning mountain needle number ocean office orange palace parcel pencil pepper picture pillow planet pocket
powder prison purple rabbit ribbon rocket saddle school season secret shadow signal silver spider spring square stable
storm street summer sunset table temple ticket timber tunnel valley velvet violin wallet winter wisdom wizard yard zone
alpha beta gamma delta sigma omega north south east west prime ghost crown flame frost spark stone cloud""".split()

VERBS = """runs sleeps sings waits works reads writes walks jumps swims laughs cries dances cooks paints draws climbs
listens watches travels shouts rests plays smiles studies drives""".split()

LABEL_WORDS = """yes no true false good bad high low up down left right hot cold keep drop pass fail in out near far early
late old new first last top bottom open closed major minor basic extra inner outer local remote public private single
double solid liquid wet dry fast slow big small safe risky cheap dear legal formal casual urgent normal rare common
positive negative neutral spam ham sport news music food travel health money art science law home work school fun
accept reject approve deny start stop allow block buy sell hold win lose draw push pull rise fall mix split""".split()

# The shipped tasks' own label names, product names and house words. The training text may never contain them.
RESERVED = frozenset(
    """harbor lantern quarry meadow compass anchor beacon orchard veltrano quillmark osmery brindle tarrowby fennimore
halden kestrel marlowe pennywhistle sablecote thornbury wexcombe yarrowfield""".split()
)

ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl pr sk sl sp st tr sh ch th qu".split()
VOWELS = "a e i o u a e i o u ai ea oo ee ou".split()
CODAS = ["", "", "", "n", "r", "l", "s", "t", "m", "k", "x", "nd", "rt", "sh", "ck", "p", "lm", "g"]


UNWANTED = (
    "shit",
    "fuk",
    "fuck",
    "cunt",
    "nig",
    "rap",
    "piss",
    "cock",
    "dik",
    "dick",
    "tit",
    "slut",
    "ass",
    "arse",
    "hoor",
)  # Rude sounds.


def pseudo_word(rng: random.Random, syllables: int | None = None) -> str:
    """Returns an invented word of one to three syllables, never one of the reserved words."""
    while True:
        count = syllables or rng.choice((1, 2, 2, 2, 3))
        word = "".join(
            rng.choice(ONSETS)
            + rng.choice(VOWELS)
            + (rng.choice(CODAS) if i == count - 1 or rng.random() < 0.3 else "")
            for i in range(count)
        )
        if word not in RESERVED and not any(part in word for part in UNWANTED):
            return word


def any_word(rng: random.Random) -> str:
    """Returns a word of any list, or an invented one."""
    kind = rng.random()
    if kind < 0.25:
        return pseudo_word(rng)
    if kind < 0.5:
        return rng.choice(NOUNS)
    if kind < 0.65:
        return rng.choice(ADJECTIVES)
    if kind < 0.8:
        return rng.choice(CATEGORIES[rng.choice(CATEGORY_NAMES)])
    return rng.choice((NAMES, THINGS, VERBS)[rng.randrange(3)])


CATEGORY_NAMES = list(CATEGORIES)


def held_out(text: str) -> bool:
    """Tells whether an item belongs to the eighth of all items that training never sees.

    Decided by the text alone (CRC-32 of its UTF-8 bytes is a multiple of 8), so the training text and the shipped
    tasks are disjoint by construction: the first draws only other items, the latter draw only these.
    """
    return zlib.crc32(text.encode()) % 8 == 0
