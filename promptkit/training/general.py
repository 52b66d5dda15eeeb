"""A page of plain prose about nothing in particular: what a task's texts are compared with to find its own words.

It only has to show how common the common words and signs are, so a page will do; a few languages stand in it because
the small words of a language are no sign of a domain written in it.
"""

from __future__ import annotations

__all__ = ["GENERAL_TEXT"]

GENERAL_TEXT = """\
The morning was cold and bright, and most of the people in the street were on their way to work. A man with a grey dog
stood at the corner and looked at the sky, as if he could not make up his mind. "It will rain by noon," he said to no
one, and then he went into the shop where he bought his bread every day. There was a small queue, so he had to wait for
about five minutes. The woman behind the counter knew him well. She asked how his daughter was, what she was doing now,
and whether they would come to the town for the summer again.

Towns like this one have changed a great deal in the last 30 years. Where there used to be a mill, there is now a school
with 400 children, and the old station has become a library that is open from 9 to 6. Not everyone likes it. Some say
that the place has lost what made it different from any other; others would never want to go back. Both are right in
their own way. What has not changed is the river, which comes down from the hills in spring, brown and loud, and takes
with it whatever has been left too near the water.

How do you learn a thing that nobody can explain? You try, you fail, and you try again until your hands know more than
your head does. My father could mend almost anything, but when I asked him why he did it this way and not that way, he
only laughed. I think he did not know. He had seen it done once, when he was a boy, and that was enough. These days we
read first, we watch, we ask, and sometimes we forget to begin. That is a pity, because the first step is usually the
one that shows which questions are worth asking at all.

In 1998 the two brothers sold their house, paid what they owed, and moved north with three suitcases and a box of tools.
They had been told that there was land to be had for very little money; this turned out to be true, though the winters
were longer than they had thought. By the end of the second year they had built a barn, two rooms, and a road of half a
mile. If you go there today you can still see it, but you will have to look for it under the grass.

Heute ist es kalt, und die meisten Leute bleiben zu Hause. Ich habe einen Brief von meiner Schwester bekommen, in dem
sie schreibt, dass sie im Sommer nicht kommen kann, weil sie arbeiten muss. Das ist schade, aber wir werden uns im
Herbst sehen. Was soll man machen?

Il y a dans cette ville un petit jardin que personne ne connaît. On y entre par une porte verte, à côté de l'école, et
on peut y rester tout l'après-midi sans voir une seule voiture. Ce n'est pas loin d'ici, mais il faut savoir où il est.

La casa estaba al final de la calle, y desde la ventana se podía ver el mar. No era muy grande, pero para nosotros era
más que suficiente. Cuando llegaba el verano, mi abuela dejaba la puerta abierta y todos los vecinos entraban a hablar.

今天天气很好，我和朋友去了公园。那里有很多人，有的在走路，有的在看书。我们坐了一个下午，说了很多话，后来就回家了。
你觉得这个地方怎么样？我们明天还可以再去。
"""
