"""What the generated catalogue sells."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BRANDS", "COLOURS", "KINDS", "TRAITS", "Kind"]


class Kind(NamedTuple):
    """One kind of product.

    Attributes:
        category: Top category.
        query: What people search for; also how instructions call it.
        path: Path of categories.
        titles: What titles call it.
        uses: Words for what or whom it is.
        traits: Name of the list of attributes that it can have.
        sizes: Name and values of its second option.
        prices: Lowest and highest price, in dollars.
    """

    category: str
    query: str
    path: str
    titles: tuple[str, ...]
    uses: tuple[str, ...]
    traits: str
    sizes: tuple[str, tuple[str, ...]]
    prices: tuple[int, int]


_WEAR = ("size", ("x-small", "small", "medium", "large", "x-large", "xx-large"))
_SHOE = ("size", ("6", "6.5", "7.5", "8", "9", "10 wide", "11"))
_VOLUME = ("size", ("1 fl oz", "2 fl oz", "4 fl oz", "8 fl oz", "16 fl oz"))
_PACK = ("size", ("6 ounce (pack of 1)", "12 ounce (pack of 2)", "3 pound (pack of 4)"))
_BED = ("size", ("twin", "full", "queen", "king", "california king"))
_AREA = ("size", ("24 x 36 in", "36 x 48 in", "5 x 7 ft", "8 x 10 ft"))
_LENGTH = ("size", ("3 ft", "6 ft", "10 ft", "25 ft"))
_STORAGE = ("style", ("32gb", "64gb", "128gb", "256gb", "512gb"))

TRAITS = {
    "wear": (
        "machine wash",
        "long sleeve",
        "relaxed fit",
        "polyester spandex",
        "elastic waist",
        "moisture wicking",
        "button closure",
        "dry clean",
        "classic neckline",
        "tummy control",
    ),
    "shoe": (
        "rubber sole",
        "arch support",
        "memory foam",
        "slip resistant",
        "vinyl acetate",
        "lace up",
        "faux leather",
        "steel toe",
        "wide width",
        "quick drying",
    ),
    "skin": (
        "cruelty free",
        "paraben free",
        "hyaluronic acid",
        "tea tree",
        "long lasting",
        "dermatologist tested",
        "vitamin c",
        "fragrance free",
        "coconut oil",
        "anti aging",
    ),
    "home": (
        "solid wood",
        "easy assemble",
        "stainless finish",
        "living room",
        "storage space",
        "non slip",
        "water resistant",
        "mid century",
        "heavy duty",
        "eco friendly",
    ),
    "food": (
        "gluten free",
        "dairy free",
        "low sodium",
        "non gmo",
        "kosher certified",
        "artificial flavors",
        "high protein",
        "plant based",
        "nut free",
        "individually wrapped",
    ),
    "device": (
        "fast charging",
        "noise cancelling",
        "easy install",
        "high definition",
        "wireless bluetooth",
        "gold plated",
        "ultra slim",
        "hands free",
        "carrying case",
        "remote control",
    ),
}

COLOURS = (
    "black",
    "white",
    "navy",
    "red",
    "olive",
    "teal",
    "burgundy",
    "charcoal",
    "khaki",
    "lavender",
    "yellow",
    "turquoise",
)

_BRANDS = """
Alvora Brenwick Calderis Dunmoor Elstead Farrowby Glenvane Hartlume Ivendale Jorvane
Kelsbury Lindholt Marwick Norrastead Ostermoor Penhallow Quillmere
Ravensby Stanmere Thornvale Ulverton Varnholm Westerlow Yarrowick Zellmar
"""
BRANDS = tuple(_BRANDS.split())

_CLOTHES = "Clothing, Shoes & Jewelry"
_BEAUTY = "Beauty & Personal Care"
_HOME = "Home & Kitchen"
_FOOD = "Grocery & Gourmet Food"
_DEVICES = "Electronics"

_WEARERS = ("Women", "Men", "Teens", "Running", "Office", "Travel", "Winter")
_BODY = ("Face", "Dry Skin", "Sensitive Skin", "Hair", "Night Care", "Travel")
_ROOMS = ("Bedroom", "Kitchen", "Patio", "Hallway", "Dorm", "Guest Room")
_EATERS = ("Breakfast", "Snack Time", "Lunch Box", "Family", "Party", "Office")
_GEAR = ("Laptop", "Phone", "Tablet", "Car", "Home Office", "Travel")

KINDS = tuple(
    Kind(
        category,
        query,
        f"{root}/{path}".replace("/", " \u203a "),
        titles,
        uses,
        traits,
        sizes,
        prices,
    )
    for category, root, uses, rows in (
        (
            "fashion",
            _CLOTHES,
            _WEARERS,
            (
                ("women's cardigan", "Women/Sweaters/Cardigans",
                 ("Cardigan Sweater", "Knit Cardigan"), "wear", _WEAR, (18, 70)),
                ("men's hoodie", "Men/Active/Hoodies",
                 ("Hoodie Sweatshirt", "Pullover Hoodie"), "wear", _WEAR, (20, 65)),
                ("summer dress", "Women/Dresses/Casual",
                 ("Midi Dress", "Swing Dress"), "wear", _WEAR, (16, 60)),
                ("hiking pants", "Men/Pants/Hiking",
                 ("Hiking Pants", "Cargo Trousers"), "wear", _WEAR, (24, 80)),
                ("walking shoes", "Shoes/Athletic/Walking",
                 ("Walking Shoes", "Sneakers"), "shoe", _SHOE, (25, 120)),
                ("ankle boots", "Shoes/Boots/Ankle",
                 ("Ankle Boots", "Chelsea Boots"), "shoe", _SHOE, (30, 150)),
                ("house slippers", "Shoes/Slippers/House",
                 ("Slippers", "House Shoes"), "shoe", _SHOE, (12, 45)),
                ("rain jacket", "Women/Coats/Rain",
                 ("Rain Jacket", "Hooded Raincoat"), "wear", _WEAR, (28, 110)),
            ),
        ),
        (
            "beauty",
            _BEAUTY,
            _BODY,
            (
                ("face moisturizer", "Skin Care/Face/Creams",
                 ("Moisturizer Cream", "Face Lotion"), "skin", _VOLUME, (8, 55)),
                ("face serum", "Skin Care/Face/Serums",
                 ("Serum", "Face Essence"), "skin", _VOLUME, (10, 70)),
                ("shampoo", "Hair Care/Shampoo",
                 ("Shampoo", "Scalp Cleanser"), "skin", _VOLUME, (7, 35)),
                ("lip balm", "Makeup/Lips/Balms",
                 ("Lip Balm", "Lip Treatment"), "skin", _PACK, (4, 22)),
                ("body lotion", "Skin Care/Body/Lotions",
                 ("Body Lotion", "Body Butter"), "skin", _VOLUME, (7, 40)),
                ("hair mask", "Hair Care/Treatments",
                 ("Hair Mask", "Deep Conditioner"), "skin", _VOLUME, (9, 38)),
                ("nail polish", "Nails/Polish",
                 ("Nail Polish", "Nail Lacquer"), "skin", _VOLUME, (4, 24)),
                ("bath soap", "Bath/Soaps",
                 ("Bar Soap", "Hand Soap"), "skin", _PACK, (5, 28)),
            ),
        ),
        (
            "garden",
            _HOME,
            _ROOMS,
            (
                ("coffee table", "Furniture/Tables/Coffee",
                 ("Coffee Table", "Side Table"), "home", _AREA, (60, 320)),
                ("area rug", "Rugs/Area",
                 ("Area Rug", "Carpet"), "home", _AREA, (35, 240)),
                ("duvet cover", "Bedding/Duvet Covers",
                 ("Duvet Cover Set", "Bedding Set"), "home", _BED, (28, 130)),
                ("bar stools", "Furniture/Stools",
                 ("Bar Stools", "Counter Chairs"), "home", _AREA, (70, 290)),
                ("window curtains", "Curtains/Panels",
                 ("Curtain Panels", "Drapes"), "home", _AREA, (18, 85)),
                ("bed frame", "Furniture/Beds",
                 ("Platform Bed Frame", "Bedstead"), "home", _BED, (110, 620)),
                ("storage basket", "Storage/Baskets",
                 ("Storage Basket", "Laundry Hamper"), "home", _AREA, (14, 60)),
                ("wall shelf", "Storage/Shelves",
                 ("Wall Shelf", "Floating Shelves"), "home", _AREA, (16, 95)),
            ),
        ),
        (
            "grocery",
            _FOOD,
            _EATERS,
            (
                ("granola bars", "Snacks/Bars/Granola",
                 ("Granola Bars", "Oat Bars"), "food", _PACK, (5, 38)),
                ("ground coffee", "Beverages/Coffee/Ground",
                 ("Ground Coffee", "Coffee Blend"), "food", _PACK, (8, 45)),
                ("herbal tea", "Beverages/Tea/Herbal",
                 ("Herbal Tea", "Tea Bags"), "food", _PACK, (5, 32)),
                ("trail mix", "Snacks/Nuts/Mixes",
                 ("Trail Mix", "Nut Mix"), "food", _PACK, (7, 36)),
                ("pasta sauce", "Pantry/Sauces/Pasta",
                 ("Pasta Sauce", "Marinara"), "food", _PACK, (4, 28)),
                ("protein powder", "Pantry/Powders/Protein",
                 ("Protein Powder", "Shake Mix"), "food", _PACK, (18, 75)),
                ("fruit snacks", "Snacks/Fruit",
                 ("Fruit Snacks", "Fruit Chews"), "food", _PACK, (4, 26)),
                ("instant noodles", "Pantry/Noodles",
                 ("Instant Noodles", "Ramen Cups"), "food", _PACK, (5, 30)),
            ),
        ),
        (
            "electronics",
            _DEVICES,
            _GEAR,
            (
                ("bluetooth headphones", "Headphones/Over Ear",
                 ("Headphones", "Headset"), "device", _STORAGE, (20, 220)),
                ("hdmi cable", "Cables/HDMI",
                 ("HDMI Cable", "Video Cord"), "device", _LENGTH, (6, 45)),
                ("phone charger", "Chargers/Phone",
                 ("Charger Block", "Power Adapter"), "device", _LENGTH, (9, 48)),
                ("security camera", "Cameras/Security",
                 ("Security Camera", "Surveillance Camera"), "device", _STORAGE,
                 (30, 190)),
                ("portable speaker", "Speakers/Portable",
                 ("Speaker", "Soundbar"), "device", _STORAGE, (18, 160)),
                ("tablet", "Computers/Tablets",
                 ("Tablet Computer", "Android Tablet"), "device", _STORAGE, (70, 480)),
                ("tv wall mount", "Mounts/Television",
                 ("TV Mount", "Wall Bracket"), "device", _LENGTH, (20, 120)),
                ("video projector", "Projectors/Home",
                 ("Projector", "Movie Beamer"), "device", _STORAGE, (60, 420)),
            ),
        ),
    )
    for query, path, titles, traits, sizes, prices in rows
)  # fmt: skip
"""Forty kinds of product, eight to a category."""
