#!/usr/bin/env python3
"""Make qtop's built-in model: a story grammar, a tokenizer and a small Llama.

The program ships one tiny language model so that every view has something to
show without a download.  This script is the whole recipe for it:

  text    prints stories from the grammar below, one blank line between two
  train   trains a tokenizer and a Llama on such stories and writes
          stories.bin, tokenizer.bin and stories-heldout.txt to one folder;
          a checkpoint, SentencePiece's own model and figures.json to another
  check   reads the two .bin files back with NumPy alone, compares with
          PyTorch where a checkpoint is at hand, measures the held-out text
          and tells a few stories

The files follow llama2.c: stories.bin is its "version 1" checkpoint layout
and tokenizer.bin its vocabulary layout, both little-endian.

All text comes from the grammar, so nothing but this file is needed to make
the model again.  It needs Python 3, numpy, torch and sentencepiece; `text`
needs none of the three.
"""

import argparse
import json
import math
import random
import re
import struct
import sys
import time
from pathlib import Path

# ---------------------------------------------------------------------------
# The story grammar
#
# A template is a string with two kinds of gaps.  [one|two|three] is a choice,
# and choices may nest and may be empty; {name} is a slot that the story's
# cast or its plot has filled.  A plot is a function that fills slots and
# returns paragraphs.  What is chosen once (a name, a colour, a hiding place)
# keeps its slot to the end, and that is what a model has to remember.
# ---------------------------------------------------------------------------

BOYS = ("Tom Ben Max Sam Leo Tim Jack Finn Oscar Hugo Adam Noah Peter Luke "
        "Theo Milo Bob Carl Felix Henry Ivan Kurt Otto Paul Rob Simon").split()
GIRLS = ("Lily Mia Anna Sue Lucy Emma Zoe Rosa Nora Ella Ruby Clara Molly "
         "Daisy Jane Ivy Ada Beth Cora Dora Eva Grace Holly Kate Nell "
         "Tess").split()
SPECIES = ("fox rabbit bear mouse duck frog hedgehog squirrel owl turtle cat "
           "badger otter beaver mole goose pony raccoon").split()
TRAITS = ("kind curious cheerful shy brave clever quiet happy gentle busy "
          "funny sleepy wise proud lively polite merry careful").split()
COLORS = ("red blue green yellow white orange purple pink brown silver golden "
          "black").split()

# Each place has a way to be named and spots in which things can be.
PLACES = {
    "park": ["under the bench", "behind the slide", "near the swings",
             "next to the fountain", "in the tall grass", "by the gate",
             "behind the fence"],
    "garden": ["under the apple tree", "behind the shed", "near the roses",
               "beside the gate", "in the flower pot", "by the pond",
               "among the beans"],
    "forest": ["under a log", "behind the old oak", "near the stream",
               "beside a big rock", "in the bushes", "by the cave",
               "among the ferns"],
    "farm": ["under the cart", "behind the barn", "near the well",
             "beside the fence", "in the hay", "by the stable",
             "among the hens"],
    "meadow": ["under the willow", "behind the stone wall", "near the creek",
               "beside the path", "in the clover", "by the hedge",
               "among the daisies"],
    "beach": ["under a blue towel", "behind the rocks", "near the boats",
              "beside the pier", "in the wet sand", "by the nets",
              "among the shells"],
    "village": ["under the bridge", "behind the bakery", "near the mill",
                "beside the pump", "in the market", "by the church",
                "among the barrels"],
}
ODD = "old lost rusty broken wet empty dusty round flat crooked".split()
JUNK = ("shoe spoon stone feather box sock button bottle nail cork basket "
        "glove cup nut stick leaf").split()
LIKES = ["bread", "pears", "honey", "plums", "nuts", "old songs", "riddles",
         "books", "games", "soup", "jam", "cheese", "berries", "long walks",
         "bright colors", "funny hats"]
SCENES = [
    "A {hue} [bird|cat|bee] [sat|slept|rested] on the [gate|fence|roof|wall].",
    "The [wind|river|rain|brook] [sang|whispered|hummed] {softly} in the "
    "[hills|valley|night|distance].",
    "[Far away|Somewhere|Down the road], a [bell|dog|cart|horn] could be "
    "heard.",
    "The [sky|air|water|morning light] was [clear|cool|soft|still] and ["
    "bright|fresh|quiet].",
    "[Smoke|Steam|Mist] rose from the [houses|fields|pond|chimney].",
    "[Two|Three|Four|Five] {hue} [geese|boats|clouds|leaves] [drifted|went|"
    "moved] by {softly}.",
]
TOYS = ("ball kite boat drum doll train puppet car top robot bear whistle "
        "wagon yo-yo horse flute").split()

# A beat is a moment between two steps of a plot.
BEATS = [
    "{name} [thought of|remembered|missed] [home|{his} bed|dinner|the summer|"
    "last winter|an old song|a funny dream].",
    "[A|The] smell of [bread|smoke|rain|flowers|grass|soup] was in the air.",
    "[In the distance|Nearby|High up|Behind {him}], a {hue} [bird|crow|goose|"
    "gull|dove] [called|sang|rested|circled].",
    "[Two|Three|Some|A few] [children|neighbors|sparrows|old men|bees] "
    "[stopped to look|went past|were at work|looked up].",
    "A [drop|leaf|feather|petal|seed] fell on {his} [nose|hand|head|foot|"
    "shoulder].",
    "{name} [looked up|looked around|waited|listened|sat down|stood still|"
    "thought] for a [while|moment|minute].",
    "{name} [scratched|shook|tilted] {his} head.",
    "A {hue} [butterfly|bird|leaf|beetle] [flew by|came down|landed on the "
    "grass|went past].",
    "The [wind|sun|air] [felt|was] [warm|cool|soft|kind] on {his} face.",
    "[It was|All was] [quiet|still|calm] for a [while|moment|minute].",
    "[Someone|A child|An old man|A neighbor] [waved|nodded|walked past|"
    "looked on].",
]
MANNERS = ["softly", "quietly", "gently", "with a smile", "with a nod",
           "at last", "in a low voice", "right away"]

# Words that a story may paint: what is chosen for a noun stays with it.
PAINT = {}
PAINT.update(dict.fromkeys(
    "park garden forest farm meadow beach village stream pond creek grass "
    "roses beans bushes ferns hens willow path hedge clover daisies rocks "
    "hill river road valley lake shells".split(),
    "quiet lovely sunny shady cool damp green pretty lonely wide dark warm "
    "still wild sweet".split()))
PAINT.update(dict.fromkeys(
    "bench slide swings fountain shed gate cart barn well fence stable boats "
    "pier nets bridge bakery mill pump market church barrels window door "
    "floor roof wall house table".split(),
    "old worn dusty faded pretty plain neat crooked sturdy broad clean "
    "painted narrow famous".split()))
PAINT_AT = re.compile(r"\b(the|a|his|her|The|His|Her) (%s)\b"
                      % "|".join(PAINT))

# Other ways to say a thing, chosen anew each time.
SAME = [(re.compile(pattern), ways.split("|")) for pattern, ways in (
    (r'(?<=,"\s)said\b', "said|said|said|called|remarked|declared|murmured"),
    (r'(?<=!"\s)said\b', "said|said|called|exclaimed|laughed"),
    (r'(?<=\?"\s)asked\b', "asked|asked|asked|wondered"),
    (r'(?<=!"\s)cried\b', "cried|exclaimed|gasped|called"),
    (r"\blooked(?= (under|behind|near|beside|in|by|among|next))",
     "looked|searched|peeked|checked"),
    (r"\bvery\b", "very|very|really|quite|truly"),
    (r"(?<!\")\bSoon\b", "Soon|Before long|After a while|In a moment"),
    (r"(?<!\")\bThen\b", "Then|Then|After that|And then"),
    (r"\bcame by\b", "came by|walked by|passed by|came along"),
    (r"\bbegan to\b", "began to|started to"),
    (r"\bwanted to\b", "wanted to|wished to|hoped to"),
    (r"\bfound(?= an? )", "found|saw|spotted|came upon|discovered"),
    (r"\blaughed\b", "laughed|laughed|giggled|chuckled"),
    (r"\bsmiled\b", "smiled|grinned|beamed"),
    (r"\bevery day\b", "every day|each day|day after day"),
    (r"\blearned that\b", "learned that|saw that|understood that"),
    (r"\bThe next day\b", "The next day|The day after|The next morning"),
    (r"\b(went|walked)(?= (to|on|home|back)\b)",
     "went|walked|hurried|strolled|ran"),
    (r"\bevery morning\b", "every morning|each morning"))]


def expand(template, rng):
    """Settle every [a|b|c] of a template, the innermost ones first."""
    choice = re.compile(r"\[([^\[\]]*)\]")
    while "[" in template:
        template = choice.sub(lambda m: rng.choice(m.group(1).split("|")),
                              template)
    return template


def polish(text):
    """Tidy a filled template: spaces, a/an, capitals at sentence starts."""
    text = re.sub(r" +", " ", text).replace(" .", ".").replace(" ,", ",")
    text = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
    text = re.sub(r'(^"?|[.!?] "?|\." "?)([a-z])',
                  lambda m: m.group(1) + m.group(2).upper(), text.strip())
    return text


class Teller:
    """One story in the making: a random source, a cast and filled slots."""

    def __init__(self, rng):
        self.rng = rng
        self.slots, self.painted = {}, {}
        self.cast()

    def pick(self, *options):
        """Return one of the options."""
        return self.rng.choice(options)

    def some(self, pool, count):
        """Return `count` different members of a pool."""
        return self.rng.sample(list(pool), count)

    def put(self, **slots):
        """Fill slots; their values may hold choices, settled here, once."""
        for key, value in slots.items():
            self.slots[key] = expand(value, self.rng).format_map(self.slots)

    def tell(self, *paragraphs):
        """Fill the templates and join them to a story, a line for each."""
        rng = self.rng
        lines = [expand(p, rng).format_map(self.slots) for p in paragraphs]
        for i in range(len(lines) - 1):
            if rng.random() < 0.5:
                beat = expand(rng.choice(BEATS), rng).format_map(self.slots)
                lines[i] += " " + beat
        text = "\n".join(lines)
        text = PAINT_AT.sub(self.paint, text)
        text = "\n".join(polish(line) for line in text.split("\n"))
        for pattern, ways in SAME:
            text = pattern.sub(lambda _: rng.choice(ways), text)
        return re.sub(r"\b(said|asked|called|declared) ([A-Z][a-z]+)\.",
                      self.manner, text)

    def paint(self, found):
        """Put a noun's adjective before it, the same one all story long."""
        article, noun = found.groups()
        if noun not in self.painted:
            self.painted[noun] = (self.rng.choice(PAINT[noun]) + " "
                                  if self.rng.random() < 0.4 else "")
        return "%s %s%s" % (article, self.painted[noun], noun)

    def manner(self, tag):
        """Now and then, say how something was said."""
        if self.rng.random() < 0.3:
            return tag.group(0)[:-1] + " " + self.rng.choice(MANNERS) + "."
        return tag.group(0)

    def pronouns(self, prefix, female):
        """Fill he/him/his (and He, His) for one member of the cast."""
        words = ("she", "her", "her") if female else ("he", "him", "his")
        for key, word in zip(("he", "him", "his"), words):
            self.slots[prefix + key] = word
            self.slots[(prefix + key).capitalize()] = word.capitalize()

    def cast(self):
        """Choose a hero, a friend and a grown-up, and set the first scene."""
        rng = self.rng
        animals = rng.random() < 0.45
        female, friend_female = rng.random() < 0.5, rng.random() < 0.5
        name = rng.choice(GIRLS if female else BOYS)
        friend = name
        while friend == name:
            friend = rng.choice(GIRLS if friend_female else BOYS)
        self.pronouns("", female)
        self.pronouns("f", friend_female)
        if animals:
            kind, friend_kind = rng.sample(SPECIES, 2)
            friend_intro = "%s the %s" % (friend, friend_kind)
        else:
            kind = "girl" if female else "boy"
            friend_kind = "girl" if friend_female else "boy"
            friend_intro = "%s friend %s" % (self.slots["his"], friend)
        old, old_female = rng.choice([("mother", True), ("father", False),
                                      ("grandma", True), ("grandpa", False),
                                      ("aunt", True), ("uncle", False)])
        self.pronouns("a", old_female)
        place = rng.choice(list(PLACES))
        spots = rng.sample(PLACES[place], 3)
        junk = ["a %s %s" % pair for pair in zip(rng.sample(ODD, 2),
                                                 rng.sample(JUNK, 2))]
        self.slots.update(
            name=name, kind=kind, friend=friend, fkind=friend_kind,
            pal=friend_intro, adult=old, trait=rng.choice(TRAITS),
            place=place, spot1=spots[0], spot2=spots[1], spot3=spots[2],
            junk1=junk[0], junk2=junk[1], color=rng.choice(COLORS),
            at="on" if place in ("farm", "beach") else "in")
        # Some stories open on a view, and some tell what the hero likes.
        likes = rng.sample(LIKES, 2)
        detail = rng.choice((
            "", "", "{He} [liked|loved] {like1} and {like2}. ",
            "{He} [always thought of|dreamed of|often talked about] {like1}. ",
            "{His} favorite color was {hue}. "))
        self.put(hue="[red|blue|green|yellow|white|orange|pink|brown|gray]",
                 softly="[softly|slowly|gently|quietly]",
                 like1=likes[0], like2=likes[1])
        self.put(scene=rng.choice(SCENES) + " " if rng.random() < 0.4 else "",
                 detail=detail,
                 treat="|Then there was time for {like1}.|{name} went home "
                 "and thought of {like1}." if "like1" in detail else "")
        self.put(
            size="[small|little|big|tiny|fine|new|pretty|shiny|light|lovely|"
                 "strange|plain]",
            day="[day|morning|afternoon]",
            when="[One|One|One sunny|One warm|One fine|One quiet|One bright|"
                 "One cool|One windy|On a sunny|On a cold|On a lazy] {day}",
            intro="{scene}[Once upon a time, there was a [{trait}|little|"
                  "{trait} little] {kind} named {name}.|Once upon a time, a "
                  "{trait} {kind} named {name} lived [in|near] a [forest|"
                  "village|big town].|There once was a [{trait}|young] {kind} "
                  "[called|named] {name}.|{name} was a {trait} {kind} with "
                  "[a soft voice|a loud laugh|bright eyes|a big heart|a {hue} "
                  "coat|a {hue} bag|{hue} shoes].|{name} was a [{trait}|"
                  "{trait} little|small and {trait}] {kind}.|In a "
                  "[small|quiet|green] [village|valley|town] lived a {trait} "
                  "{kind} named {name}.|A {trait} {kind} named {name} lived "
                  "[by the sea|near the woods|on a hill|by the river] with "
                  "{his} {adult}.|{name} the {kind} was [very|always] "
                  "{trait}.] {detail}",
            evening="[the sun went down|it got dark|the stars came out|"
                    "it was time for dinner|the moon was up]",
            glad="[happy|glad|very happy|so happy|full of joy]",
            sad="[sad|very sad|upset|unhappy|so sad]",
            rest="[||" + self.slots["treat"] + "|That night, {name} slept "
                 "[well|with a smile|like a stone].|{name} [smiled|sang|"
                 "hummed] all the way home.|{name} could not stop smiling.|"
                 "It was the best day of the [week|month|year].|And they all "
                 "had [tea|soup|cake] together.]")


PLOTS = []


def plot(function):
    """Enter a plot in the list that stories are drawn from."""
    PLOTS.append(function)
    return function


@plot
def lost_toy(t):
    """A toy is gone; two wrong places, then a friend helps to find it."""
    t.put(toy=t.pick(*TOYS),
          state="[a bit dirty|wet from the rain|safe and dry|covered with dust"
                "|as good as new]")
    return t.tell(
        "{intro} {He} had a {size} {color} {toy}. [{He} took it everywhere.|"
        "It was {his} favorite toy.|{His} {adult} had made it for {him}.|]",
        "{when}, {name} was [playing|walking] {at} the {place} and the {toy} "
        "was gone. \"[Oh no|Oh dear|Help]! Where is my {toy}?\" [cried|asked] "
        "{name}. {He} looked {spot1}, but [it was not there|there was only "
        "{junk1}]. Then {he} looked {spot2}, but {he} [found only {junk2}|"
        "could not find it]. {name} [was {sad}|sat down and cried|wanted to "
        "give up].",
        "[Just then,|Soon,|Then] {pal} came by. \"[Do not cry|Do not worry|"
        "Do not be sad]. I will help you,\" [said {friend}|{fhe} said]. "
        "[Together they looked|They looked together] {spot3}. There was the "
        "{color} {toy}, {state}! \"[Thank you|Thank you so much], {friend}!\" "
        "said {name}. [They played with the {toy} until {evening}.|{name} "
        "hugged {his} {toy} and then {he} hugged {friend}.] [{name} learned "
        "that it is good to ask for help.|Two pairs of eyes are better than "
        "one.|A good friend helps you look.|{rest}]")


@plot
def stuck_toy(t):
    """Something is caught up high; what will bring it down?"""
    t.put(toy="[kite|ball|balloon|hat|scarf|paper plane]",
          high="[tall tree|roof|old oak|high wall|pine tree]",
          first="[jumped as high as {he} could, but {he} was too small|threw "
                "a stick at it, but the stick fell down|pulled a long rope, "
                "but the rope was too short]")
    ways = {
        "ladder": "{His} {adult} came with a [long|tall] ladder. {Ahe} went "
                  "up step by step and [took|picked up] the {toy}. \"Here it "
                  "is,\" said {his} {adult}.",
        "bird": "A [black|gray|little] bird [sat there and|] looked at {him}. "
                "\"[Please, bird|Dear bird], can you help me?\" asked {name}. "
                "The bird [pushed|pulled] the {toy} with its beak, and down "
                "it came.",
        "friend": "Then {pal} [had an idea|had a plan]. {name} stood on "
                  "{friend}'s back and [reached up|stretched out an arm]. "
                  "\"I have it!\" {he} [said|shouted].",
        "wind": "\"[Let us wait|Be patient],\" said {his} {adult}. They sat "
                "down and waited. [Soon|After a while] a [strong|big] wind "
                "came and blew the {toy} [down|right into {his} arms].",
    }
    how = t.pick(*ways)
    moral = {
        "ladder": "[{name} thanked {his} {adult} and held the {toy} tight.|"
                  "It is wise to ask a grown-up when a thing is too hard.]",
        "bird": "[{name} gave the bird some [bread|seeds|crumbs] to say thank "
                "you.|Even a small bird can be a big help.]",
        "friend": "[Together they were tall enough.|Two friends can do what "
                  "one cannot.]",
        "wind": "[{name} learned to be patient.|Sometimes it is best to "
                "wait.]",
    }[how]
    return t.tell(
        "{intro} {when}, {he} took {his} {size} {color} {toy} to the {place}. "
        "[A gust of wind came|The wind blew hard|{He} was not careful], and "
        "the {toy} got stuck on a {high}.",
        "\"[Oh no|Oh dear], my {toy}!\" [cried|said] {name}. {He} {first}. "
        "[{name} was {sad}.|What could {he} do?|{name} did not know what to "
        "do.]",
        ways[how] + " {name} was {glad}. " + moral + " {rest}")


@plot
def sharing(t):
    """Two friends want one thing, quarrel, and find a way to share."""
    t.put(toy=t.pick("bike", "drum", "boat", "ball", "sled", "book",
                     "train"),
          turns="[You go first, and then I will go|You can have it now, and I "
                "will have it later|Let us count to ten and then change]")
    return t.tell(
        "{intro} {when}, {name} and {pal} found a {size} {color} {toy} "
        "{spot1}. \"It is mine!\" said {name}. \"No, it is mine! I saw it "
        "first,\" said {friend}.",
        "They [pulled and pulled|shouted at each other|pushed and pulled], "
        "and [the {toy} almost broke|{friend} began to cry|both fell down]. "
        "{name} [felt bad|was sorry|stopped]. [{His} {adult} heard the noise "
        "and came out. \"Can you two share?\" {ahe} asked.|It was no fun to "
        "fight.]",
        "\"I am sorry, {friend}. {turns},\" said {name}. {friend} "
        "[smiled|nodded|wiped {fhis} eyes]. [So they took turns|They shared "
        "the {toy}] [all day|until {evening}], and it was [more fun|twice as "
        "much fun] than before. [A thing you share is a thing you enjoy "
        "twice.|From that day on, they always shared.|{name} learned that "
        "sharing is better than fighting.|{rest}]")


@plot
def afraid(t):
    """A fear is met with help and turns out to be small."""
    fear, sign, cure = t.pick(
        ("the dark", "[When the lamp went out|Every night in bed]",
         "[gave {him} a little lamp|showed {him} the stars|put a candle by "
         "the bed]"),
        ("thunder", "[When the sky went boom|When the storm came]",
         "[counted with {him} after each flash|sang a loud song with {him}|"
         "told {him} that clouds like to drum]"),
        ("deep water", "[When the others went to swim|At the lake]",
         "[held {his} hand in the water|gave {him} a round float|showed {him} "
         "how to kick]"),
        ("the big dog", "[When the dog barked|On the way to the market]",
         "[showed {him} how to pet it|gave {him} a bone for the dog|said that "
         "the dog just wanted to play]"),
        ("high places", "[When the others went up the hill|On the old bridge]",
         "[held {his} hand|told {him} to look at the sky|went up with {him} "
         "step by step]"))
    t.put(fear=fear, sign=sign)
    t.put(cure=cure)
    helper, short = t.pick(("{his} {adult}", "{his} {adult}"),
                           ("{pal}", "{friend}"))
    t.put(helper=helper, short=short)
    return t.tell(
        "{intro} But {name} had a secret: {he} was afraid of {fear}. {sign}, "
        "{he} [shook like a leaf|hid under a blanket|closed {his} eyes|wanted "
        "to run away].",
        "\"[What is wrong|Why are you scared|What is the matter], {name}?\" "
        "asked {helper}. \"I am afraid of {fear},\" {name} [whispered|said "
        "softly|said]. \"[That is all right|I was afraid too, once|Everyone "
        "is afraid of something]. [I am here|I will stay with you|We can be "
        "brave together].\" So {short} {cure}.",
        "[Little by little|Slowly|Soon], {name} felt [better|less afraid|"
        "brave]. \"{fear} is not so bad!\" {he} [said|laughed]. [To be brave "
        "is to be afraid and to try.|And {name} was never so afraid of {fear} "
        "again.|{name} learned that it helps to talk about a fear.|{rest}]")


@plot
def lost_baby(t):
    """A baby animal has lost its mother; ask, listen, and bring it home."""
    baby, mother, sound = t.pick(
        ("kitten", "cat", "meow"), ("duckling", "duck", "quack"),
        ("puppy", "dog", "woof"), ("lamb", "sheep", "baa"),
        ("chick", "hen", "peep"), ("calf", "cow", "moo"),
        ("piglet", "pig", "oink"), ("foal", "horse", "neigh"))
    witness1, witness2 = t.some(["snail", "crow", "goat", "bee", "farmer",
                                 "donkey", "beetle", "toad"], 2)
    t.put(baby=baby, mother=mother, sound=sound, w1=witness1, w2=witness2,
          coat="[white|brown|gray|black|yellow|spotted]")
    return t.tell(
        "{intro} {when}, {he} was {at} the {place} and heard a [soft|sad|tiny|"
        "small] \"{sound}\". {spot1} sat a [little|tiny|small] {coat} {baby}. "
        "[It was all alone.|It was cold and hungry.|It looked lost.]",
        "\"[Where is your mother|Are you lost], little {baby}?\" asked "
        "{name}. \"{sound},\" said the {baby}. {name} [took it in {his} "
        "arms|told it not to cry]. {He} asked the {w1}, \"Have you seen a "
        "{mother}?\" \"No,\" said the {w1}. \"[Ask|Go and ask] the {w2}.\" "
        "The {w2} said, \"Yes! I [saw|heard] a {mother} {spot2}.\"",
        "So they went on, and there was the {mother}! \"{sound}, {sound}!\" "
        "she [said|called]. The {baby} ran to its mother [as fast as it could|"
        "and was not sad any more|with joy]. [The {mother} was {glad}.|{name} "
        "was {glad} too.] [{name} learned that a small kindness can be very "
        "big.|Now {name} visits the {baby} every day.|It feels good to help "
        "someone who is lost.|{rest}]")


@plot
def broken(t):
    """Something breaks, and the truth is told."""
    t.put(thing="[vase|cup|lamp|plate|clock|mirror|jar|bowl]",
          cause="[threw a ball in the house|ran too fast|danced around the "
                "table|jumped on the bed|swung a stick]",
          hide="[under the rug|behind the door|under the bed|in a drawer|in "
               "the bin]")
    return t.tell(
        "{intro} {when}, {name} {cause}. Crash! {His} {adult}'s {color} "
        "{thing} fell [down|on the floor] and broke [in two|to pieces|into "
        "three parts].",
        "{name} was [afraid|scared|ashamed]. {He} hid the pieces {hide}. "
        "[But {he} could not eat and could not play.|But {his} tummy felt "
        "funny.|All day {he} thought about it.] In the evening, {his} {adult} "
        "asked, \"[Where is my {thing}|Have you seen my {thing}]?\"",
        "{name} [looked at the floor|took a deep breath|began to cry]. \"I "
        "broke it, and I hid it {hide}. I am sorry,\" {he} said. {His} "
        "{adult} was [quiet|silent] for a moment. Then {ahe} [smiled|hugged "
        "{him}|took {his} hand]. \"[Thank you for telling the truth|A {thing} "
        "is only a {thing}|I am glad that you told me]. [Let us fix it "
        "together|We can glue it|You can help me buy a new one].\" [{name} "
        "felt light again.|{name} was {glad}.] [It is always better to tell "
        "the truth.|{name} never hid a thing again.|The truth is hard for a "
        "minute, and then it is easy.|{rest}]")


@plot
def present(t):
    """A birthday is near and there is no money, so a gift is made."""
    what, parts = t.pick(
        ("card", "paper and [paint|a pen|glue]"),
        ("necklace", "[shells|beads|nuts] and a string"),
        ("picture", "paint and a brush"),
        ("crown", "[flowers|leaves|feathers]"),
        ("scarf", "[soft wool|red wool|blue wool]"),
        ("cake", "[flour, eggs, and milk|flour and honey]"),
        ("basket", "[grass|straw|twigs]"))
    t.put(gift=what, parts=parts,
          nocoin="[{he} had no money|{his} purse was empty|{he} had just one "
                 "coin]")
    return t.tell(
        "{intro} It was almost the birthday of {his} {adult}. {name} wanted "
        "to give {ahim} [a gift|a present|something nice], but {nocoin}. "
        "[{He} was {sad}.|What could {he} do?|{name} thought and thought.]",
        "\"You can make something,\" said {pal}. \"A thing you make [comes "
        "from the heart|is the best gift].\" \"[Good idea|You are right]! I "
        "will make a {gift},\" said {name}. {He} [found|got] {parts}. "
        "{friend} helped [a little|a lot|too]. They worked [all morning|all "
        "day|until "
        "{evening}].",
        "[On the birthday|The next day], {name} gave the {gift} to {his} "
        "{adult}. \"[Did you make this|Is this for me]?\" {ahe} asked. \"Yes! "
        "[Happy birthday|It is for you]!\" said {name}. {His} {adult} "
        "[hugged {him}|smiled|laughed and cried] and said, \"[It is the best "
        "{gift} in the world|I love it|What a lovely {gift}].\" [A gift does "
        "not need money. It needs love.|{name} was {glad}.|{rest}]")


@plot
def seed(t):
    """A seed is planted; it takes days of care and patience."""
    plant, fruit = t.pick(
        ("sunflower", "a [tall|big] yellow flower"),
        ("pumpkin", "a [round|huge] orange pumpkin"),
        ("tomato plant", "a [bush|bowl] of red tomatoes"),
        ("bean plant", "a [basket|bag] of green beans"),
        ("rose", "a [sweet|pretty] {color} rose"),
        ("apple tree", "a [little|thin] tree with [three|two] leaves"))
    t.put(plant=plant, days="[two|three|five|six|ten]")
    t.put(fruit=fruit)
    return t.tell(
        "{intro} {when}, {his} {adult} gave {him} a [tiny|small|little] seed. "
        "\"[It will be|This is] a {plant},\" said {his} {adult}. {name} "
        "[planted|put] it in the [garden|soft earth|ground] and gave it "
        "water.",
        "The next day, {name} [looked|ran out to look]. There was nothing. "
        "\"[Why does it not grow|When will it grow]?\" {he} asked. \"[Be "
        "patient|Give it time|Wait a little]. A seed needs [sun, water, and "
        "time|water and love|time],\" said {his} {adult}. So {name} watered "
        "it every [day|morning]. {pal} [laughed|shook {fhis} head] and said, "
        "\"[It will never grow|Nothing will come].\" But {name} did not stop.",
        "After {days} [days|weeks], a green [leaf|tip|shoot] came out of the "
        "ground! It grew and grew, and at last there was {fruit}. \"[You were "
        "right to wait|I was wrong|How lovely],\" said {friend}. [{name} was "
        "{glad}.|{name} was proud.] [Good things take time.|Care and patience "
        "make things grow.|{rest}]")


@plot
def heavy_load(t):
    """Someone old has too much to carry; help is paid back."""
    company = t.pick("with {pal}", "to play")
    t.put(company=company,
          show="{friend}" if company == "with {pal}" else "{pal}",
          old="[woman|man|goat|donkey|tortoise]",
          load="[basket of apples|bag of flour|sack of corn|box of books|pot "
               "of soup|bundle of wood]",
          reward="[a {color} ribbon|a warm bun|a shiny coin|a {size} {color} "
                 "button|a wooden whistle|a red apple|a jar of honey]")
    return t.tell(
        "{intro} {when}, {he} was on {his} way to the {place} "
        "{company}. On the road {he} met an old {old} with a "
        "[heavy|very heavy|big] {load}.",
        "\"[Are you tired|May I help you|Is that not too heavy]?\" asked "
        "{name}. \"[Yes, my back hurts|Yes, and my house is far|Oh yes, I am "
        "so tired],\" said the old {old}. [{name} wanted to play, but {he} "
        "took the {load}.|{name} took one side of the {load}.|So {name} "
        "carried the {load}.] They walked [up the hill|over the bridge|past "
        "the mill|along the river], and the old {old} [told a funny story|"
        "sang an old song|talked about long ago].",
        "[At the door|At last], the old {old} said, \"[You are kind|Thank "
        "you], {name}. [Take this|This is for you].\" It was {reward}! {name} "
        "was {glad}. [{He} showed it to {show}, and {friend} wanted to help "
        "the old {old} too.|{name} went back [every week|the next day] to "
        "help again.] [Kindness always comes back.|{name} learned that "
        "helping makes two people happy.|{rest}]")


@plot
def practice(t):
    """A skill is hard at first; trying again is what helps."""
    skill, oops, done = t.pick(
        ("ride a bike", "[fell into the grass|hit a bush|fell off]",
         "rode [all around the {place}|down the road|in a big circle]"),
        ("swim", "[swallowed some water|went under|splashed and sank]",
         "swam [across the pond|to the other side|like a fish]"),
        ("whistle", "[only air came out|made a funny noise|spat by mistake]",
         "whistled [a happy song|like a bird|loud and clear]"),
        ("skate", "[slipped on the ice|fell on {his} back|bumped into a "
         "tree]", "skated [across the ice|in a big circle|like the wind]"),
        ("dance", "[tripped over {his} feet|turned the wrong way|fell down]",
         "danced [until {evening}|like a leaf in the wind|with {friend}]"),
        ("climb", "[slid down again|got stuck|lost {his} grip]",
         "climbed [to the top|up the old oak|higher than {friend}]"))
    t.put(skill=skill)
    t.put(oops=oops)
    t.put(done=done)
    t.put(first="{oops}" if "air" in t.slots["oops"] else "{he} {oops}")
    return t.tell(
        "{intro} [More than anything, {he} wanted|{He} wanted] to learn to "
        "{skill}. {pal} could {skill} very well. \"[It looks so easy|I want "
        "to do that too],\" said {name}.",
        "{when}, {name} [tried|went out to try]. The first time, {first}. "
        "The second time, [it was no better|it went wrong again]. \"[I cannot "
        "do it|I will never learn|This is too hard]!\" {he} [cried|said]. "
        "\"[I fell many times too|Nobody can do it the first time|It took me "
        "a whole year],\" said {friend}. \"[Try again|Once more|Do not give "
        "up]. I will [stay with you|help you|watch you].\"",
        "So {name} tried [again and again|every day|three more times]. And "
        "then, [one {day}|all of a sudden|at last], {he} {done}! \"[Look at "
        "me|I can do it|I did it]!\" {he} shouted. {friend} [clapped|"
        "cheered|laughed with joy]. [If you keep trying, you will learn.|"
        "{name} learned that you must fall before you fly.|Practice makes "
        "hard things easy.|{rest}]")


@plot
def greedy(t):
    """Too much of a good thing hurts, and a shared rest tastes better."""
    t.put(food="[cookies|pancakes|plums|berries|buns|cherries|pies|nuts]",
          first="[four|five|six|seven]", then="[eight|nine|ten|twelve]")
    return t.tell(
        "{intro} {when}, {his} {adult} made [a big plate|a bowl|a whole "
        "basket] of {food}. \"[Leave some|Keep some] for {friend},\" said "
        "{his} {adult}.",
        "{name} ate one. It was so [good|sweet|tasty]! {He} ate two, and then "
        "{first}. \"[Just one more|Nobody will see|One more is not much],\" "
        "{he} [thought|said]. Soon {he} had eaten {then} {food}, and {his} "
        "tummy [began to hurt|was as round as a ball|hurt a lot]. "
        "\"Ouch!\" [cried|said] {name}.",
        "Then {pal} came to [play|visit]. But {name} could not [run|play|"
        "jump]. \"I ate too many {food},\" {he} said. \"And I did not leave "
        "[much|enough] for you. I am sorry.\" {friend} [laughed|smiled]. "
        "\"[Let us share the last one|There is still one for me].\" [{His} "
        "{adult} gave {name} a cup of warm tea.|They sat in the sun until "
        "{name} felt better.] [The next time, {name} ate two and gave the "
        "rest to {friend}.|Enough is better than too much.|{name} learned not "
        "to be greedy.|{rest}]")


@plot
def race(t):
    """The fast one boasts and stops on the way; the steady one wins."""
    t.put(goal="[the old mill|the big tree|the bridge|the lake|the red barn|"
               "the top of the hill]",
          stop="[take a nap|eat some berries|chase a butterfly|look at "
               "{fhis} face in the pond|pick some flowers]",
          prize="[a {color} ribbon|a {color} cap|a big cake|a gold cup|a bag "
                "of nuts]")
    return t.tell(
        "{intro} {pal} was [very fast|the fastest of all] and liked to "
        "[boast|brag]. \"[Nobody can beat me|I am faster than the wind|You "
        "are too slow]!\" {friend} said. \"[Let us race|I will race you] to "
        "{goal},\" said {name}. The prize was {prize}.",
        "One, two, three, go! {friend} ran [ahead|off] and was soon far away. "
        "\"[I have lots of time|{name} is so slow],\" {fhe} thought, and "
        "{fhe} stopped to {stop}. {name} did not stop. [Step by step|One foot "
        "after the other|Slowly but surely], {he} went [past the fence|over "
        "the hill|through the mud] and passed {friend}.",
        "When {friend} [looked up|saw it], it was too late. {name} was "
        "already at {goal}! [Everyone|The others] cheered, and {name} got "
        "{prize}. \"[You won|Well done], {name}. [I will not boast again|I "
        "should not have stopped],\" said {friend}. [{name} shared the prize "
        "with {friend}.|Slow and steady wins the race.|It does not help to be "
        "fast if you stop.|{rest}]")


@plot
def rainy_day(t):
    """Rain spoils a plan and a better idea is found indoors."""
    t.put(plan="[a picnic|a trip to the lake|a game of ball|a walk {at} the "
               "{place}|a day {at} the {place}]",
          idea="[built a tent with blankets|made boats out of paper|put on a "
               "play with puppets|baked bread|painted the window|played "
               "hide and seek|told stories by the fire]")
    return t.tell(
        "{intro} {name} and {pal} had planned {plan}. But that {day}, [dark "
        "clouds came|the sky turned gray], and it [rained and rained|began to "
        "rain|rained very hard]. \"[It is not fair|Our day is spoiled|I hate "
        "the rain]!\" said {name}. {friend} was {sad} too.",
        "Then {his} {adult} said, \"[Rain can be fun|We can have fun inside|"
        "I have an idea].\" So they {idea}. [They laughed so much that they "
        "forgot the rain.|The drops went tap, tap, tap on the roof.|It was "
        "warm and cozy.] {friend} said, \"[This is even better|I like this|"
        "What fun]!\"",
        "[After a while|When they were done|Later], the rain stopped. [A big "
        "rainbow stood over the {place}.|The sun came out, and they jumped "
        "in the puddles.] [\"I am glad that it rained,\" said {name}.|"
        "\"Can it rain tomorrow, too?\" asked {name}.] [A bad day can "
        "turn into a good one.|You can have fun in any weather.|{rest}]")


@plot
def treasure(t):
    """A key and a hint lead to a box, and what is in it gets shared."""
    t.put(clue="[key|map|letter]",
          inside="[old coins|colored stones|wooden toys|picture books|sweets|"
                 "silver bells|sea shells]",
          box="[box|chest|trunk]")
    return t.tell(
        "{intro} {when}, {name} found [an old|a rusty|a strange|a dusty] "
        "{clue} {spot1}. [\"What is this?\" asked {pal}.|{He} ran to {pal} "
        "and showed {fhim} the {clue}.] "
        + t.pick("\"It [must belong to|will lead us to] a treasure!\" said "
                 "{friend}.", "{friend} [looked|jumped up] and said, \"Let us "
                 "find the treasure!\""),
        "They [searched|looked] {at} the {place}. They looked {spot2} and "
        "found {junk1}. They looked {spot3}, and there was a [small|big|"
        "heavy] {color} {box}! "
        + ("The key [fit|turned], and the {box} opened with a [click|creak]."
           if t.slots["clue"] == "key" else
           "It was just where the {clue} said. They [pulled|lifted] and the "
           "{box} opened with a [click|creak]."),
        "The {box} was full of {inside}. \"[We are rich|How lovely|Look at "
        "that]!\" said {name}. [They gave some to every child in the village."
        "|They shared the {inside} with all their friends.|{name} took half, "
        "and {friend} took half.] They kept the {clue} [to remember that "
        "day|in the {color} {box}]. [The best treasure is a friend.|{name} "
        "learned that a treasure is better when you share it.|{rest}]")


@plot
def new_friend(t):
    """Someone new is shy and alone; one question changes that."""
    t.put(game="[tag|hide and seek|catch|chess|jump rope|marbles]",
          alone="[alone {spot1}|{spot1} and looked at the ground|{spot2} with "
                "a book|{spot2} and said nothing]")
    return t.tell(
        "{intro} {when}, a new {fkind} came to the {place}. {Fhis} name was "
        "{friend}. {friend} was [shy|very shy|quiet] and sat {alone}. The "
        "others [played|laughed] and did not [see|ask] {fhim}.",
        "{name} saw it and [felt sorry|stopped|thought of {his} own first "
        "day]. {He} walked over. \"[Hello|Hi], I am {name}. [Do you want to|"
        "Would you like to] play {game}?\" {he} asked. {friend} [looked up|"
        "smiled a little]. \"I do not know [how|the rules],\" {fhe} "
        "[whispered|said]. \"[I will show you|That is easy|I can teach you],\""
        " said {name}. [{He} shared {his} [apple|bread|cake] with {fhim}.|]",
        "They played {game} until {evening}. {friend} was [very good|not shy "
        "any more|good at it]. \"[Will you come back|Can we play {game} "
        "again] tomorrow?\" asked {friend}. \"Yes!\" said {name}. [From then "
        "on, they were best friends.|A kind word can make a friend.|It takes "
        "one question to make a friend.|{rest}]")


@plot
def build_again(t):
    """A building is knocked down and is built better, together."""
    work, stuff, cause = t.pick(
        ("sand castle", "wet sand", "[a big wave|a dog]"),
        ("tower", "[wooden blocks|stones|boxes]", "[the cat|the wind]"),
        ("snowman", "[fresh|white] snow", "[a dog|the wind]"),
        ("tree house", "[old boards|branches]", "[a storm|the wind]"),
        ("dam", "[sticks and mud|stones]", "[the stream|a flood]"),
        ("hut", "[straw|leaves|branches]", "[a storm|a goat]"))
    t.put(work=work, stuff=stuff, cause=cause,
          plan="[a strong wall|a wide base|a round shape|more {stuff}]")
    return t.tell(
        "{intro} {when}, {name} built a {work} out of {stuff}. It was [tall|"
        "fine|lovely], with a {color} flag on top. \"[Look at my {work}|It is "
        "the best {work} ever],\" {he} said.",
        "But then {cause} came and knocked it down. {name} was {sad}. \"[All "
        "my work is gone|I will never build again],\" {he} [cried|said]. "
        "{pal} [sat down next to {him}|came to {him}]. \"[We can build it "
        "again|Let us make a new one|It can be even better],\" said {friend}. "
        "\"This time we need {plan}.\"",
        "So they worked together. {name} [got|carried] the {stuff}, and "
        "{friend} [put it in place|made it firm|told {him} where to put it]. "
        "When {cause} came again, the {work} [stood firm|did not fall]. They "
        "put the {color} flag on top and [cheered|danced around it|laughed]. "
        "[What falls down can be built again.|Four hands build better than "
        "two.|{name} learned not to give up.|{rest}]")


@plot
def big_soup(t):
    """Everyone brings one thing and the pot feeds them all."""
    things = t.some(["a carrot", "an onion", "two potatoes", "some beans",
                     "a leek", "some salt", "a pumpkin", "some peas"], 3)
    guests = t.some(["goat", "hen", "miller", "baker", "goose", "mole", "pig",
                     "farmer"], 2)
    t.put(i1=things[0], i2=things[1], i3=things[2], g1=guests[0],
          g2=guests[1])
    return t.tell(
        "{intro} {when}, {name} was [hungry|cold and hungry], but {he} had "
        "only {i1}. \"[It is hard to make|I cannot make] soup with {i1},\" "
        "{he} said. {He} put a big pot on the fire [anyway|and sat down].",
        "The {g1} came by. \"What are you making?\" asked the {g1}. \"Soup. "
        "But I have only {i1},\" said {name}. \"I have {i2},\" said the {g1}, "
        "and put that in the pot. Then the {g2} came by. \"[That smells good|"
        "Mmm, soup]. I have {i3},\" said the {g2}, and put that in too.",
        "They stirred [and stirred|and sang]. With {i1}, {i2}, and {i3}, it "
        "was the best soup {at} the {place}. [{name}, the {g1}, and the {g2} "
        "ate until {evening}.|There was enough for {name}, the {g1}, and the "
        "{g2}.|They called {friend} too, and all of them ate.] [When everyone "
        "gives a little, there is plenty for all.|Alone they had little, but "
        "together they had a feast.|{rest}]")


@plot
def hurt_bird(t):
    """A hurt animal is nursed, let go, and comes back to say hello."""
    t.put(bird="[robin|sparrow|crow|dove|swallow|finch]",
          hurt="[wing|leg|foot]", days="[three|four|five|seven|ten]",
          bed="[a box with soft wool|a nest of hay|an old hat|a warm basket]",
          eats="[seeds|worms|crumbs|berries]")
    return t.tell(
        "{intro} {when}, {name} found a [little|small|young] {bird} {spot1}. "
        "Its {hurt} was hurt, and it could not [fly|get up]. \"[Poor bird|You "
        "poor thing], I will [help you|take care of you],\" said {name}.",
        "{He} [carried|took] it home and made a bed for it in {bed}. {His} "
        "{adult} [tied a cloth around|washed|looked at] the {hurt}. Every "
        "day, {name} gave the {bird} {eats} and water. [It sang a little for "
        "{him}.|At night {he} sat next to it.|{pal} came to see it too.] "
        "After {days} days, the {hurt} was [well|strong] again.",
        "\"It is time to let it go,\" said {his} {adult}. {name} was {sad}, "
        "but {he} opened the window. The {bird} flew [up into the sky|away "
        "over the {place}]. [But every spring|But the next {day}|But every "
        "day after that], the {bird} came back to {his} window and sang. [If "
        "you love something, you can let it go.|{name} learned that a friend "
        "can be far away and still be a friend.|{rest}]")


@plot
def lend(t):
    """A thing is lent in need; later the kindness is returned."""
    item, need, later = t.pick(
        ("umbrella", "was wet from the rain", "a dry place to sit"),
        ("scarf", "was cold in the snow", "a cup of hot milk"),
        ("lamp", "could not see the path", "a light in the window"),
        ("blanket", "was cold in the night", "a warm fire"),
        ("bucket", "had no water for the garden", "a bag of fresh beans"),
        ("rope", "had a cart in the mud", "a ride in the cart"))
    t.put(item=item, need=need, later=later)
    return t.tell(
        "{intro} {He} had a {size} {color} {item}. {when}, {he} met {pal}. "
        "{friend} {need}. \"[Take my {item}|You can use my {item}|Here is my "
        "{item}],\" said {name}. \"[But what about you|Do you not need it]?\" "
        "asked {friend}. \"[You need it more|I will be fine],\" said {name}.",
        "[Days went by.|A week went by.|Winter came and went.] One [evening|"
        "night], {name} was [lost|tired and lost|far from home] {at} the "
        "{place}. {He} [called|cried] for help. Who came? It was {friend}, "
        "with the {color} {item}!",
        "\"You helped me, and now I help you,\" said {friend}. {Fhe} took "
        "{name} to {fhis} house, and there was {later} for {him}. {friend} "
        "gave back the {item} [too|and said thank you]. [\"You are a good "
        "friend,\" said {name}.|They talked and laughed until {evening}.] "
        "[When you are kind, kindness finds you.|Help others, and they will "
        "help you.|{rest}]")


@plot
def tidy_up(t):
    """A mess hides the very thing that is wanted."""
    lost = t.pick("shoe", "cap", "book", "pen", "coat", "bell", "spoon")
    t.put(lost=lost,
          goes="on" if lost in ("shoe", "cap", "coat") else "in {his} bag",
          under="[under the bed|under a pile of shirts|behind the chair|in "
                "the toy box|under the rug]",
          event="[a party|school|a boat trip|a show|dinner with {pal}]")
    return t.tell(
        "{intro} But {his} room was [a mess|never tidy|full of things]. "
        "\"[Please tidy up|Put your things away], {name},\" said {his} "
        "{adult}. \"[Later|Not now|Tomorrow],\" said {name}.",
        "{when}, it was time for {event}, and {name} needed {his} {color} "
        "{lost}. {He} looked [here and there|everywhere], but there were too "
        "many things on the floor. \"[I cannot find my {lost}!|Where is my "
        "{lost}?] I will be late!\" {he} [cried|said]. \"[Now you see|Then it "
        "is time to tidy up],\" said {his} {adult}. \"I will help you.\"",
        "They put the [toys|books|blocks] [in the box|on the shelf] and the "
        "[shirts|socks|hats] in the drawer. And there, {under}, was the "
        "{color} {lost}! {name} put it {goes} and was just in time for "
        "{event}. [From that day on, {his} room was tidy.|A tidy room saves "
        "time.|{name} learned to put things "
        "away.|{rest}]")


@plot
def false_alarm(t):
    """A joke is told too often, and then it is true."""
    t.put(danger="[wolf|fire|snake|flood|bear]",
          lost="[all the apples were|the best hat was|two hens were|the "
               "boat was|the hay was]")
    return t.tell(
        "{intro} {He} liked to play jokes. {when}, {he} ran through the "
        "{place} and shouted, \"[Help|Help, help]! A {danger}!\" Then {pal} "
        "came [running|at once|with a stick]. But there was no {danger}. "
        "{name} [laughed|laughed and laughed]. \"It was [just|only] a joke!\"",
        "The next day, {name} did it again. \"A {danger}!\" {he} shouted, and "
        "{friend} came again. \"That is not funny,\" said {friend} [and went "
        "home|and {fhe} was angry].",
        "On the third day, there [really was|was] a {danger}! \"Help! A "
        "{danger}!\" cried {name}. But {friend} thought, \"[It is a joke|"
        "{name} is joking again],\" and did not come. {name} [ran home|hid in "
        "a tree|ran as fast as {he} could] and was safe, but {lost} "
        "gone. \"I am sorry. I will not lie again,\" said {name}. "
        "[\"Then I will always come,\" said {friend}.|Nobody believes a joke "
        "the third time.|If you tell lies, no one will trust you.]")


@plot
def bedtime(t):
    """Someone cannot sleep until the right small thing is done."""
    verbs, things = zip(*t.some([
        ("brought", "a glass of milk"), ("brought", "a soft pillow"),
        ("told", "a short story"), ("brought", "a warm blanket"),
        ("sang", "a quiet song"), ("gave", "a hug")], 3))
    t.put(a=verbs[0] + " {him} " + things[0], c=things[2],
          b=verbs[1] + " {him} " + things[1],
          give=verbs[2] + " {him} " + things[2],
          dream="[a ship on the sea|a cloud of sugar|the moon|a garden of "
                "stars|a flying horse|a train to the sky]")
    return t.tell(
        "{intro} One night, {name} could not sleep. [The moon was bright.|The "
        "wind was loud.|The clock went tick, tock.] {He} [turned left and "
        "right|looked at the dark window|counted sheep, but it did not help].",
        "{His} {adult} came in and {a}. But {name} was still "
        "awake. Then {ahe} {b}. But {name} was still awake. "
        "\"[What do you need|What is missing], my little {kind}?\" asked "
        "{his} {adult}. {name} [thought|thought about it] and said, \"I think "
        "I need {c}.\"",
        "So {his} {adult} {give}, and {name} [closed {his} eyes|"
        "yawned|smiled]. \"Good night, {name},\" {ahe} [whispered|said "
        "softly]. Soon {name} was asleep and dreamed of {dream}. [In the "
        "morning, {he} told {pal} about {dream}.|And all was quiet.|"
        "Sometimes a small thing is all you need.]")

@plot
def hide_and_seek(t):
    """Short: one hides too well, and a sound gives the place away."""
    t.put(noise="[sneezed|giggled|coughed|hummed a song]")
    return t.tell(
        "{intro} {when}, {name} and {pal} played hide and seek {at} the "
        "{place}. {name} hid {spot1}. {friend} counted to [ten|twenty] and "
        "looked {spot2}. [Nobody was there.|There was only {junk1}.]",
        "Then {name} {noise}. \"I [hear|found] you!\" [said|shouted] "
        "{friend}, and [they both laughed|they laughed and laughed]. [Now it "
        "was {friend}'s turn to hide.|They played until {evening}.|To hide "
        "well, you must be quiet.]")


@plot
def wrong_hat(t):
    """Short: something is sought that was there all the time."""
    t.put(thing="[hat|cap|scarf]", here="[on {his} own head|on {friend}'s "
                                        "head|in {his} other hand]")
    return t.tell(
        "{intro} \"Where is my {color} {thing}?\" [asked|said] {name}. {He} "
        "looked {spot1}. {He} looked {spot2}. No {thing}!",
        "{pal} [began to laugh|smiled|laughed]. \"[Look again|Silly {kind}|"
        "Oh, {name}],\" said {friend}. The {color} {thing} was {here}! "
        "[{name} laughed too.|\"How funny!\" said {name}.|Sometimes what you "
        "look for is very near.]")


@plot
def moon(t):
    """Short: a wish for the moon is met with its picture in water."""
    t.put(holder="[bucket|bowl|pot|cup]",
          wish="[hold|catch|have|keep]")
    return t.tell(
        "{intro} One night, {name} saw the [big|round|yellow|white] moon over "
        "the {place}. \"I want to {wish} the moon,\" {he} said. {He} "
        "[climbed the hill|stood on a chair|jumped up], but the moon was too "
        "far away.",
        "{His} {adult} [put|set] a {holder} of water in front of {him}. "
        "\"Look,\" said {his} {adult}. There was the moon, in the {holder}! "
        "[\"Good night, moon,\" said {name}.|{name} was {glad}.|{name} looked "
        "at it until {he} fell asleep.]")


@plot
def trade(t):
    """Short: a chain of swaps that ends where it began, or better."""
    first, second, third = t.some(["a ball", "a bell", "a book", "a drum",
                                   "a pear", "a kite", "a flute", "a mug"], 3)
    g1, g2 = t.some(["goat", "hen", "miller", "baker", "goose", "mole"], 2)
    t.put(one=first, two=second, three=third, g1=g1, g2=g2)
    return t.tell(
        "{intro} {name} had {one}, but {he} wanted {three}. {when}, {he} met "
        "the {g1}. \"[Do you have|Have you got] {three}?\" asked {name}. "
        "\"No, but I [have|can give you] {two},\" said the {g1}. So {name} "
        "gave away {one} and got {two}.",
        "Then {he} met the {g2}. \"I have {three}, but I want {two},\" said "
        "the {g2}. They [traded|changed], and now {name} had {three}. "
        "[Everyone was happy.|It pays to ask.|{name}, the {g1}, and the {g2} "
        "were all {glad}.]")


@plot
def puddle(t):
    """Short: one jump, wet clothes, and a grown-up who joins in."""
    wear = t.pick(("boots", "they are", "them"), ("coat", "it is", "it"),
                  ("socks", "they are", "them"), ("dress", "it is", "it"),
                  ("cap", "it is", "it"))
    t.put(wear=wear[0], itis=wear[1], it=wear[2])
    return t.tell(
        "{intro} After the rain, there was a big puddle {at} the {place}. "
        "\"Do not jump in it, {name}. Your {color} {wear} will get wet,\" "
        "said {his} {adult}. {name} [looked at the puddle|tried not to "
        "look|took one step]. Splash!",
        "[Water flew everywhere.|{name} was wet from head to toe.] "
        "{His} {adult} looked at the {color} {wear}. [Then {ahe} laughed and "
        "jumped in too.|\"Well, now {itis} wet. Jump again!\" {ahe} said.|"
        "\"Now you must wash {it},\" {ahe} said, and {name} did.] {rest}")


@plot
def feed_birds(t):
    """Short: a small gift every winter day is answered in spring."""
    t.put(bird="[robin|sparrow|crow|dove|finch]", food="[seeds|crumbs|nuts]",
          gift="[a {color} feather|a shiny button|a {color} ribbon|a little "
               "key|a song]")
    return t.tell(
        "{intro} [Winter was long and cold.|It snowed for a week.] A hungry "
        "{bird} sat {spot1}. Every [day|morning], {name} put out some {food} "
        "for it.",
        "In spring, the {bird} [came to the window|sat on the fence|sat on "
        "{his} hand]. It had something for {name}: {gift}! \"Thank you, "
        "{bird},\" said {name}. [Small gifts make good friends.|The {bird} "
        "did not forget.|{rest}]")


@plot
def too_short(t):
    """Short: the small one is just the right size for once."""
    t.put(lost="[coin|ring|key|button|bead]",
          hole="[a crack in the floor|a hole in the wall|a gap in the rock|"
               "a narrow pipe]")
    return t.tell(
        "{intro} But {name} was [the smallest of all|very small]. \"You are "
        "too small to play with us,\" [said|laughed] the others. {when}, "
        "{friend} [dropped|lost] a {color} {lost}, and it fell into {hole}. "
        "Nobody could reach it.",
        "\"Let me try,\" said {name}. {His} [little arm|small hand] went in, "
        "and out came the {color} {lost}! \"[Hooray for {name}|You saved it|"
        "You are just the right size]!\" said {friend}. [To be small can be a "
        "big help.|After that, {name} could always play with them.|{name} was "
        "{glad}.]")


@plot
def full_basket(t):
    """Short: three things go into a basket, two are given, one is left."""
    foods = t.some(["a pear", "a bun", "a plum", "an egg", "a carrot",
                    "a red apple", "a slice of cake", "a jar of jam",
                    "a piece of cheese", "a bag of nuts", "a peach",
                    "a cookie"], 3)
    given = t.some(foods, 2)
    left = [food for food in foods if food not in given][0]
    g1, g2 = t.some(["goat", "hen", "miller", "baker", "goose", "mole",
                     "donkey", "farmer", "crow", "snail"], 2)
    t.put(one=foods[0], two=foods[1], three=foods[2], first=given[0],
          second=given[1], left=left, g1=g1, g2=g2,
          why="[hungry|sad|tired|cold]", why2="[hungry|lost|old|alone]")
    return t.tell(
        "{intro} {when}, {name} put {one}, {two}, and {three} in a {color} "
        "basket and [walked|went] to the {place}. On the way, {he} met a {g1}"
        " that was {why}. \"[Here is|You can have|Take] {first},\" said "
        "{name}. [{spot1} sat|Then {he} met] a {g2} that was {why2}. {name} "
        "gave the {g2} {second}.",
        "At noon, {name} opened the {color} basket. What was left? Only "
        "{left}! [The {g1} and the {g2} came and sat down with {him}.|{name} "
        "ate it and was {glad}.|{He} gave half of it to {pal}.] [A light "
        "basket makes a light heart.|{rest}]")


@plot
def counting(t):
    """Short: some animals, one leaves, one comes; how many are there?"""
    words = "two three four five six seven eight nine ten".split()
    at = t.rng.randrange(1, 8)
    who, one = t.pick(("ducks", "duck"), ("frogs", "frog"), ("hens", "hen"),
                      ("geese", "goose"), ("crows", "crow"),
                      ("mice", "mouse"), ("sheep", "sheep"))
    t.put(n=words[at], less=words[at - 1], more=words[at + 1], who=who,
          one=one, away="[ran|walked|went]")
    ways = ("But one {one} {away} away, so there were {less} {who}. ",
            "Then one more {one} came, so there were {more} {who}. ")
    change = t.some(ways, 1)[0]
    now = "{less}" if "less" in change else "{more}"
    return t.tell(
        "{intro} {when}, {name} and {pal} counted {who} {at} the {place}. "
        "{n} {color} {who} sat {spot1}. \"{n} {who}!\" said {name}.",
        change + "\"Now there are " + now + ",\" said {friend}. [\"Can you "
        "count so far?\" asked {his} {adult}. \"Yes,\" said {name}.|{name} "
        "counted again to be sure.|They wanted to count the clouds, too.] "
        "{rest}")


SHORT = [f for f in PLOTS if f.__doc__.startswith("Short")]


def story(seed, index):
    """Return story number `index` of the stream that `seed` names."""
    rng = random.Random("%d/%d" % (seed, index))
    return rng.choice(PLOTS + SHORT)(Teller(rng))


def documents(seed):
    """Yield training documents without end.

    Most hold one story.  Some go on with another after a blank line, the way
    a text file of stories does, so that the model knows both boundaries.
    """
    rng = random.Random("documents/%d" % seed)
    index = 0
    while True:
        parts = []
        while not parts or rng.random() < CHAIN:
            parts.append(story(seed, index))
            index += 1
        yield "\n\n".join(parts)


# ---------------------------------------------------------------------------
# What is trained, and how
# ---------------------------------------------------------------------------

CONFIG = dict(dim=256, hidden_dim=384, n_layers=4, n_heads=8, n_kv_heads=2,
              vocab_size=512, max_seq_len=512)
NORM_EPS = 1e-5
ROPE_THETA = 10000.0
BOS = 1
TRAIN_SEED = 1          # the stream of stories trained on
HELDOUT_SEED = 2        # a stream that training never reads
CHAIN = 0.12            # chance that a document goes on with one more story
MAGIC = 0x616B3432      # "ak42", llama2.c's mark


def train_tokenizer(folder, count=20000):
    """Train a byte-fallback BPE vocabulary; return its SentencePiece model.

    No normalization: what goes in comes out.  The only change to a text is
    the space that is put before it, as llama2.c does too.
    """
    import sentencepiece as spm
    lines = (line for i in range(count)
             for line in story(TRAIN_SEED, i).split("\n"))
    prefix = folder / "tokenizer"
    spm.SentencePieceTrainer.train(
        sentence_iterator=lines, model_prefix=str(prefix), model_type="bpe",
        vocab_size=CONFIG["vocab_size"], byte_fallback=True,
        character_coverage=1.0, normalization_rule_name="identity",
        remove_extra_whitespaces=False, add_dummy_prefix=True,
        split_digits=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        num_threads=2, minloglevel=2)
    return spm.SentencePieceProcessor(model_file=str(prefix) + ".model")


def write_tokenizer(sp, path):
    """Write the vocabulary in llama2.c's layout."""
    special = {0: "<unk>", 1: "\n<s>\n", 2: "\n</s>\n"}
    rows = []
    for i in range(sp.vocab_size()):
        text = special.get(i, sp.id_to_piece(i).replace("\u2581", " "))
        rows.append((sp.get_score(i), text.encode("utf-8")))
    with open(path, "wb") as f:
        f.write(struct.pack("<i", max(len(raw) for _, raw in rows)))
        for score, raw in rows:
            f.write(struct.pack("<fi", score, len(raw)) + raw)


def build_model():
    """Return an untrained Llama; torch is imported here and not before."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    dim, hidden = CONFIG["dim"], CONFIG["hidden_dim"]
    heads, kv_heads = CONFIG["n_heads"], CONFIG["n_kv_heads"]
    size = dim // heads

    class Norm(nn.Module):
        """Divide by the root of the mean square, then scale."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(dim))

        def forward(self, x):
            return F.rms_norm(x.float(), (dim,), self.weight, NORM_EPS)

    def rotate(x, cos, sin):
        """Turn each pair (2i, 2i+1) of a head by its position's angle."""
        a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((a * cos - b * sin, a * sin + b * cos), -1)
        return turned.flatten(-2).to(x.dtype)

    class Block(nn.Module):
        """One layer: grouped-query attention, then a gated feed-forward."""

        def __init__(self):
            super().__init__()
            self.attention_norm, self.ffn_norm = Norm(), Norm()
            self.wq = nn.Linear(dim, heads * size, bias=False)
            self.wk = nn.Linear(dim, kv_heads * size, bias=False)
            self.wv = nn.Linear(dim, kv_heads * size, bias=False)
            self.wo = nn.Linear(heads * size, dim, bias=False)
            self.w1 = nn.Linear(dim, hidden, bias=False)
            self.w2 = nn.Linear(hidden, dim, bias=False)
            self.w3 = nn.Linear(dim, hidden, bias=False)

        def forward(self, x, cos, sin):
            h = self.attention_norm(x)
            q = self.wq(h).unflatten(-1, (heads, size)).transpose(1, 2)
            k = self.wk(h).unflatten(-1, (kv_heads, size)).transpose(1, 2)
            v = self.wv(h).unflatten(-1, (kv_heads, size)).transpose(1, 2)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            k = k.repeat_interleave(heads // kv_heads, 1)
            v = v.repeat_interleave(heads // kv_heads, 1)
            h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.wo(h.transpose(1, 2).flatten(2))
            h = self.ffn_norm(x)
            return x + self.w2(F.silu(self.w1(h)) * self.w3(h))

    class Llama(nn.Module):
        """Embedding, blocks, final norm; the head is the embedding again."""

        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(CONFIG["vocab_size"], dim)
            self.blocks = nn.ModuleList(
                Block() for _ in range(CONFIG["n_layers"]))
            self.norm = Norm()
            angle = torch.outer(
                torch.arange(CONFIG["max_seq_len"]).float(),
                ROPE_THETA ** (-torch.arange(0, size, 2).float() / size))
            self.register_buffer("cos", angle.cos(), persistent=False)
            self.register_buffer("sin", angle.sin(), persistent=False)
            for name, p in self.named_parameters():
                if p.dim() == 2:
                    last = name.endswith(("wo.weight", "w2.weight"))
                    nn.init.normal_(p, 0.0, 0.02 / math.sqrt(
                        2 * CONFIG["n_layers"] if last else 1))

        def forward(self, tokens):
            n = tokens.shape[1]
            x = self.embedding(tokens)
            for block in self.blocks:
                x = block(x, self.cos[:n], self.sin[:n])
            return F.linear(self.norm(x), self.embedding.weight)

    return Llama()


def write_model(model, path):
    """Write the weights in llama2.c's version 1 layout."""
    b = model.blocks
    tensors = [x.attention_norm.weight for x in b]
    tensors += [x.ffn_norm.weight for x in b]
    tensors += [model.norm.weight, model.embedding.weight]
    for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3"):
        tensors += [getattr(x, name).weight for x in b]
    header = struct.pack("<Ii7iB", MAGIC, 1, CONFIG["dim"],
                         CONFIG["hidden_dim"], CONFIG["n_layers"],
                         CONFIG["n_heads"], CONFIG["n_kv_heads"],
                         CONFIG["vocab_size"], CONFIG["max_seq_len"], 1)
    unfinished = Path(str(path) + ".part")
    with open(unfinished, "wb") as f:
        f.write(header.ljust(256, b"\0"))
        for t in tensors:
            f.write(t.detach().float().numpy().astype("<f4").tobytes())
    unfinished.replace(path)


def windows(sp, seed):
    """Yield windows of one more token than the context, without end.

    Every window starts with a BOS; each document in it has its own, and the
    last one is cut where the window ends.
    """
    n = CONFIG["max_seq_len"] + 1
    texts = documents(seed)
    while True:
        ids = []
        while len(ids) < n:
            ids += [BOS] + sp.encode(next(texts))
        yield ids[:n]


def heldout_loss(model, sp, count=500):
    """Return nats a token over held-out stories, each one after a BOS.

    A story's tokens are counted and so is the BOS that ends it.
    """
    import torch
    import torch.nn.functional as F
    total, tokens = 0.0, 0
    with torch.no_grad():
        for i in range(count):
            ids = [BOS] + sp.encode(story(HELDOUT_SEED, i)) + [BOS]
            x = torch.tensor([ids])
            total += F.cross_entropy(model(x[:, :-1])[0], x[0, 1:],
                                     reduction="sum").item()
            tokens += len(ids) - 1
    return total / tokens, tokens


def heldout_text(size=12000):
    """Return about `size` characters of held-out stories."""
    parts, index = [], 0
    while sum(map(len, parts)) < size:
        parts.append(story(HELDOUT_SEED, index))
        index += 1
    return "\n\n".join(parts) + "\n"


def train(args):
    """Train tokenizer and model, and write everything to args.out.

    The tokenizer comes out the same each time.  A run can go on from the
    weights of another; it should then be given a stream of its own.
    """
    import torch
    import torch.nn.functional as F
    assert args.seed != HELDOUT_SEED, "these stories are for measuring"
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    out, work = Path(args.out), Path(args.work)
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)

    sp = train_tokenizer(work)
    write_tokenizer(sp, out / "tokenizer.bin")
    (out / "stories-heldout.txt").write_text(heldout_text())

    model = build_model()
    if args.start:
        model.load_state_dict(torch.load(args.start))
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [dict(params=matrices, weight_decay=0.1),
         dict(params=vectors, weight_decay=0.0)],
        lr=args.rate, betas=(0.9, 0.95), fused=True)
    parameters = sum(p.numel() for p in model.parameters())
    per_step = args.batch * CONFIG["max_seq_len"]
    print("%d parameters, %d steps of %d tokens"
          % (parameters, args.steps, per_step), flush=True)

    def loss_of(batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = model(batch[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1),
                               batch[:, 1:].flatten())

    if args.compile:
        loss_of = torch.compile(loss_of)

    stream = windows(sp, args.seed)
    start, recent, curve = time.time(), [], []
    for step in range(args.steps):
        # Warm up, then follow half a cosine down to a thousandth.  How far
        # the run has come is told by its steps or its minutes, whichever of
        # the two will end it first.
        done = max(step / args.steps,
                   (time.time() - start) / (60 * args.minutes))
        if done >= 1:
            break
        scale = min(1.0, (step + 1) / args.warmup)
        scale *= 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = args.rate * scale

        batch = torch.tensor([next(stream) for _ in range(args.batch)])
        loss = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps = step + 1

        recent = (recent + [loss.item()])[-200:]
        if steps % 100 == 0:
            mean = sum(recent[-100:]) / 100
            seconds = time.time() - start
            curve.append((steps, round(mean, 4)))
            print("step %6d  loss %.4f  %.0f s  %.0f tokens/s"
                  % (steps, mean, seconds, steps * per_step / seconds),
                  flush=True)
        if steps % args.save == 0:
            write_model(model, out / "stories.bin")
            torch.save(model.state_dict(), work / "stories.pt")
            print("held-out %.4f" % heldout_loss(model, sp, 50)[0], flush=True)

    write_model(model, out / "stories.bin")
    torch.save(model.state_dict(), work / "stories.pt")
    loss, tokens = heldout_loss(model, sp)
    figures = dict(
        parameters=parameters, steps=steps, tokens_seen=steps * per_step,
        final_train_loss=round(sum(recent) / len(recent), 4),
        heldout_loss=round(loss, 4),
        heldout_perplexity=round(math.exp(loss), 4),
        heldout_tokens=tokens, seconds=round(time.time() - start),
        torch=torch.__version__, loss_curve=curve)
    (work / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print({k: v for k, v in figures.items() if k != "loss_curve"})


# ---------------------------------------------------------------------------
# Reading the two files back, with NumPy alone
# ---------------------------------------------------------------------------

class Vocabulary:
    """tokenizer.bin, read and used the way llama2.c does."""

    def __init__(self, path, size):
        raw, at = Path(path).read_bytes(), 4
        self.pieces, self.scores = [], []
        for _ in range(size):
            score, length = struct.unpack_from("<fi", raw, at)
            self.pieces.append(raw[at + 8:at + 8 + length])
            self.scores.append(score)
            at += 8 + length
        assert at == len(raw), "tokenizer.bin has a tail"
        self.ids = {p: i for i, p in enumerate(self.pieces)}

    def encode(self, text):
        """Split a text: characters first, then the best merge, again."""
        ids = []
        for char in " " + text:
            raw = char.encode("utf-8")
            ids += [self.ids[raw]] if raw in self.ids else [b + 3 for b in raw]
        while True:
            best = None
            for i in range(len(ids) - 1):
                j = self.ids.get(self.pieces[ids[i]] + self.pieces[ids[i + 1]])
                if j is None or best and self.scores[j] <= best[0]:
                    continue
                best = (self.scores[j], i, j)
            if best is None:
                return ids
            ids[best[1]:best[1] + 2] = [best[2]]

    def decode(self, ids):
        """Join the pieces of a text, without the space before it."""
        raw = b"".join(bytes([i - 3]) if 3 <= i < 259 else self.pieces[i]
                       for i in ids)
        return raw.decode("utf-8", "replace")[1:]


class Reader:
    """stories.bin and a float32 forward pass, one token at a time."""

    def __init__(self, path):
        import numpy as np
        self.np = np
        raw = Path(path).read_bytes()
        (magic, version, dim, hidden, layers, heads, kv_heads, self.vocab,
         self.context, shared) = struct.unpack_from("<Ii7iB", raw)
        assert (magic, version, shared) == (MAGIC, 1, 1), "not such a file"
        self.heads, self.kv_heads, self.size = heads, kv_heads, dim // heads
        self.layers = layers
        data, at = np.frombuffer(raw, "<f4", offset=256), 0

        def take(*shape):
            nonlocal at
            count = math.prod(shape)
            at += count
            return data[at - count:at].reshape(shape)

        kv = kv_heads * self.size
        self.norm1, self.norm2 = take(layers, dim), take(layers, dim)
        self.norm, self.emb = take(dim), take(self.vocab, dim)
        self.wq, self.wk = take(layers, dim, dim), take(layers, kv, dim)
        self.wv, self.wo = take(layers, kv, dim), take(layers, dim, dim)
        self.w1, self.w2 = take(layers, hidden, dim), take(layers, dim, hidden)
        self.w3 = take(layers, hidden, dim)
        assert at == len(data), "stories.bin has a tail"
        self.rewind()

    def rewind(self):
        """Forget all tokens."""
        self.keys = [[] for _ in range(self.layers)]
        self.values = [[] for _ in range(self.layers)]

    def step(self, token):
        """Take one token; return the logits of the next."""
        np = self.np
        position = len(self.keys[0])
        angle = position * ROPE_THETA ** (
            -np.arange(0, self.size, 2, dtype=np.float32) / self.size)
        turn = np.exp(1j * angle).astype(np.complex64)

        def normal(x, weight):
            return x / np.sqrt(np.mean(x * x) + NORM_EPS) * weight

        def rotate(x):
            pairs = x.reshape(-1, self.size).copy().view(np.complex64)
            return (pairs * turn).view(np.float32)

        x = self.emb[token]
        for l in range(self.layers):
            h = normal(x, self.norm1[l])
            self.keys[l].append(rotate(self.wk[l] @ h))
            self.values[l].append(
                (self.wv[l] @ h).reshape(self.kv_heads, self.size))
            q = rotate(self.wq[l] @ h)
            keys, values = np.stack(self.keys[l], 1), np.stack(
                self.values[l], 1)
            mixed = []
            for head in range(self.heads):
                group = head * self.kv_heads // self.heads
                score = keys[group] @ q[head] / np.float32(
                    math.sqrt(self.size))
                share = np.exp(score - score.max())
                mixed.append(share / share.sum() @ values[group])
            x = x + self.wo[l] @ np.concatenate(mixed)
            h = normal(x, self.norm2[l])
            gate = self.w1[l] @ h
            gate = gate / (1 + np.exp(-gate))
            x = x + self.w2[l] @ (gate * (self.w3[l] @ h))
        return self.emb @ normal(x, self.norm)

    def tell(self, rng, temperature, start=()):
        """Generate from BOS to the next BOS; temperature 0 is greedy."""
        np = self.np
        self.rewind()
        logits, ids = self.step(BOS), list(start)
        for token in ids:
            logits = self.step(token)
        while len(ids) < self.context - 1:
            if temperature == 0:
                token = int(logits.argmax())
            else:
                p = np.exp((logits - logits.max()) / temperature)
                token = int(rng.choice(self.vocab, p=p / p.sum()))
            if token == BOS:
                break
            ids.append(token)
            logits = self.step(token)
        return ids

    def loss(self, ids):
        """Return nats a token of a text cut to windows, each after a BOS."""
        np = self.np
        total = 0.0
        for i, token in enumerate(ids):
            if i % (self.context - 1) == 0:
                self.rewind()
                logits = self.step(BOS)
            top = logits.max()
            total += top + np.log(np.exp(logits - top).sum()) - logits[token]
            logits = self.step(token)
        return total / len(ids)


def check(args):
    """Read the files back, compare, measure, and tell stories."""
    import numpy as np
    folder, work = Path(args.dir), Path(args.work)
    reader = Reader(folder / "stories.bin")
    vocabulary = Vocabulary(folder / "tokenizer.bin", reader.vocab)
    text = (folder / "stories-heldout.txt").read_text()
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text, "the text does not come back"
    print("%s: %d bytes, %d tokens"
          % ("stories-heldout.txt", len(text), len(ids)))
    if (work / "stories.pt").exists():
        import sentencepiece as spm
        import torch
        sp = spm.SentencePieceProcessor(
            model_file=str(work / "tokenizer.model"))
        print("same tokens as SentencePiece:", sp.encode(text) == ids)
        model = build_model()
        model.load_state_dict(torch.load(work / "stories.pt"))
        window = [BOS] + ids[:reader.context - 1]
        with torch.no_grad():
            theirs = model(torch.tensor([window]))[0].numpy()
        reader.rewind()
        ours = np.stack([reader.step(token) for token in window])
        print("largest difference to PyTorch's logits: %.2g (of %.3g)"
              % (abs(ours - theirs).max(), abs(theirs).max()))
    stories = [vocabulary.encode(part) + [BOS]
               for part in text.strip().split("\n\n")]
    count = sum(map(len, stories))
    by_story = sum(reader.loss(part) * len(part) for part in stories) / count
    for how, loss in (("story by story", by_story),
                      ("in blind windows", reader.loss(ids))):
        print("held-out file, %s: %.4f nats a token, perplexity %.3f"
              % (how, loss, math.exp(loss)))
    rng = np.random.default_rng(args.seed)
    start = vocabulary.encode(args.prompt) if args.prompt else ()
    for i in range(args.count):
        temperature = 0 if i == 0 else args.temperature
        print("\n--- temperature %g\n%s" % (temperature, vocabulary.decode(
            reader.tell(rng, temperature, start))))


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Make qtop's built-in model.")
    sub = parser.add_subparsers(dest="command", required=True)
    p = sub.add_parser("text", help="print stories")
    p.add_argument("--seed", type=int, default=HELDOUT_SEED)
    p.add_argument("--count", type=int, default=10)
    p = sub.add_parser("train", help="train tokenizer and model")
    p.add_argument("--out", required=True, help="folder for the results")
    p.add_argument("--work", default="work", help="folder for the rest")
    p.add_argument("--seed", type=int, default=TRAIN_SEED,
                   help="the stream of stories to train on")
    p.add_argument("--start", help="go on from this checkpoint's weights")
    p.add_argument("--steps", type=int, default=9000)
    p.add_argument("--minutes", type=float, default=60,
                   help="end the schedule then, if the steps take longer")
    p.add_argument("--batch", type=int, default=4, help="windows a step")
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--warmup", type=int, default=200)
    p.add_argument("--save", type=int, default=500, help="steps between saves")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction,
                   default=True)
    p.add_argument("--compile", action="store_true",
                   help="let torch compile the step (needs a C++ compiler)")
    p = sub.add_parser("check", help="read the results back")
    p.add_argument("--dir", required=True, help="folder with the results")
    p.add_argument("--work", default="work", help="folder with stories.pt")
    p.add_argument("--count", type=int, default=4, help="stories to tell")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--temperature", type=float, default=0.8)
    p.add_argument("--prompt", default="", help="how the stories begin")
    args = parser.parse_args()
    if args.command == "text":
        print("\n\n".join(story(args.seed, i) for i in range(args.count)))
    else:
        dict(train=train, check=check)[args.command](args)


if __name__ == "__main__":
    sys.exit(main())
