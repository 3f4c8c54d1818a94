"""Better or worse?"""
